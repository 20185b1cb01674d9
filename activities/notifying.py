"""Telling a person: a log line, and a message to each channel of HYPERTRADER_NOTIFY_URL, never more than its ration."""

import asyncio
import logging
import os
import sqlite3
import time

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.channels import NOTIFY_VARIABLE, Channel, NotTaken, channels
from activities.messages import Notice
from activities.ration import Ration, Share
from activities.wording import worded
from settings import Settings

TIMEOUT_S = 10.0
LOOKS_EVERY_S = 15.0
"""For room for what waits."""

log = logging.getLogger("hypertrader.notice")


def notify_url() -> str | None:
    """Where notices are sent; None when they are only logged. Raises SetupRefused for what is no address."""
    addresses = os.environ.get(NOTIFY_VARIABLE)
    if not addresses or not channels(addresses):
        return None
    return addresses


def listed() -> tuple[Channel, ...]:
    """Raises SetupRefused, as at the start of a worker."""
    return channels(os.environ.get(NOTIFY_VARIABLE) or "")


class Telling:
    """Without settings every notice is a message of its own, at once."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._silent = settings.silent_notices if settings else frozenset()
        self._ration: Ration | None = None
        if settings is not None:
            self._ration = Ration(settings.state_dir / "notices.db", settings.notify_per_hour)

    @activity.defn
    async def notify(self, notice: Notice) -> None:
        """Log a notice once, and have each channel told. A try that fails with the retryable `NotDelivered` leaves word
        which channels have it; one whose answer was lost may hear twice."""
        info = activity.info()
        if info.attempt == 1:
            level = logging.ERROR if notice.urgent else logging.INFO
            log.log(level, "%s: %s", notice.about, notice.text, extra={"workflow_id": notice.workflow_id})
        if notice.kind in self._silent:
            return
        have_it: set[int] = set(*info.heartbeat_details)
        due = [each for each in listed() if each.place not in have_it]
        ends = await asyncio.gather(*(self._tell(each, notice) for each in due), return_exceptions=True)
        troubles: list[str] = []
        for channel, end in zip(due, ends, strict=True):
            match end:
                case None:
                    have_it.add(channel.place)
                case NotTaken() | sqlite3.Error():
                    troubles.append(f"channel {channel.name}: {end}")
                case _:
                    raise end
        if troubles:
            activity.heartbeat(sorted(have_it))
            raise ApplicationError(f"the notice was not delivered: {'; '.join(troubles)}", type="NotDelivered")

    async def tell_what_waits_forever(self) -> None:
        while True:
            await self.tell_what_waits()
            await asyncio.sleep(LOOKS_EVERY_S)

    async def tell_what_waits(self) -> None:
        """To each channel that has room, in one message. What fails waits on."""
        ration = self._ration
        if ration is None:
            return
        for channel in listed():
            try:
                if share := await asyncio.to_thread(ration.take_waiting, channel.place, _now_ms()):
                    await self._send(channel, share, ration)
            except (NotTaken, sqlite3.Error) as error:
                log.warning("channel %s was not told what waits: %s", channel.name, error)

    async def _tell(self, channel: Channel, notice: Notice) -> None:
        if self._ration is None:
            await channel.send(worded([notice]), TIMEOUT_S)
        elif share := await asyncio.to_thread(self._ration.take, channel.place, notice, _now_ms()):
            await self._send(channel, share, self._ration)

    async def _send(self, channel: Channel, share: Share, ration: Ration) -> None:
        try:
            await channel.send(worded(share.notices), TIMEOUT_S)
        except BaseException:
            ration.not_told(share)
            raise
        await asyncio.to_thread(ration.told, share)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


notify = Telling().notify
