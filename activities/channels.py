"""Who is told: the addresses of HYPERTRADER_NOTIFY_URL, each a channel of its own.

An http(s):// address is a webhook that gets one JSON object; any other is one of Apprise's: Telegram, ntfy, mail and
a hundred more. Addresses often hold the receiver's token, so they are treated as secrets: nothing raised or logged
here repeats one, and whoever else would log it is silenced.
"""

import asyncio
import logging
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import aiohttp

from activities.wording import Words
from exchange.network import SetupRefused

if TYPE_CHECKING:
    from apprise import AppriseAsset
    from apprise.plugins.base import NotifyBase

NOTIFY_VARIABLE = "HYPERTRADER_NOTIFY_URL"
WEBHOOKS = ("http", "https")
SILENT = 1_000
"""A level of logging that nothing has."""


class NotTaken(Exception):
    """A channel did not take a message, or nobody knows. The text holds nothing of its address."""


class Channel(Protocol):
    @property
    def name(self) -> str:
        """Its place in the list and its kind: what may be shown of it."""

    @property
    def place(self) -> int: ...

    async def send(self, words: Words, timeout_s: float) -> None:
        """Raises NotTaken."""


@lru_cache(maxsize=8)
def channels(addresses: str) -> tuple[Channel, ...]:
    """One for each address, which white space separates. Raises SetupRefused with the place of a bad one."""
    found = addresses.split()
    return tuple(_channel(address, place, len(found)) for place, address in enumerate(found, 1))


def _channel(address: str, place: int, count: int) -> Channel:
    kind = address.partition("://")[0].lower()
    if kind in WEBHOOKS:
        if not _is_web_address(address):
            raise _refused("is not an http:// or https:// address", place, count)
        return Webhook(place, kind, address)
    service = _service(address)
    if service is None:
        raise _refused("is neither an http(s):// address nor one that Apprise knows and can use", place, count)
    return AppriseChannel(place, kind, service)


def _refused(why: str, place: int, count: int) -> SetupRefused:
    which = f" address {place} of {count}" if count > 1 else ""
    return SetupRefused(f"{NOTIFY_VARIABLE}{which} {why} (it is a secret, so not shown)")


def _is_web_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


@dataclass(frozen=True)
class Webhook:
    place: int
    kind: str
    url: str

    @property
    def name(self) -> str:
        return f"{self.place} ({self.kind})"

    async def send(self, words: Words, timeout_s: float) -> None:
        body = {"title": words.title, "text": words.text, **words.first.model_dump(include=_WEBHOOK_FIELDS)}
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                # A redirected POST arrives as an empty GET, which a receiver may well answer with 200.
                async with session.post(self.url, json=body, allow_redirects=False) as answer:
                    status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # Neither its text nor itself as the cause: both name the address.
            raise NotTaken(type(error).__name__) from None
        if not 200 <= status < 300:
            raise NotTaken(f"the receiver answered HTTP {status}")


_WEBHOOK_FIELDS = {"coin", "workflow_id", "at_ms"}


@dataclass(frozen=True)
class AppriseChannel:
    place: int
    kind: str
    service: "NotifyBase"

    @property
    def name(self) -> str:
        return f"{self.place} ({self.kind})"

    async def send(self, words: Words, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                taken = await _in_a_thread(lambda: self._notify(words, timeout_s))
        except TimeoutError:
            raise NotTaken(f"no answer within {timeout_s:g} s") from None
        if not taken:
            # Why, only Apprise's log would say, and that names the address.
            raise NotTaken("it was not taken")

    def _notify(self, words: Words, timeout_s: float) -> bool:
        from apprise import Apprise, NotifyFormat

        teller = Apprise(asset=_asset())
        teller.add(self.service)
        plain = NotifyFormat.TEXT.value
        told = teller.notify(words.text, title=words.title, body_format=plain, timeout=timeout_s, log_level=SILENT)
        return bool(told)


def _service(address: str) -> "NotifyBase | None":
    # Only where there is such an address: its hundred plugins take a worker half a second to read.
    from apprise import Apprise

    _silence()
    service = Apprise.instantiate(address, asset=_asset())
    return service if service is not None and service.enabled else None


def _asset() -> "AppriseAsset":
    from apprise import AppriseAsset

    return AppriseAsset(app_id="HyperTrader", app_desc="HyperTrader", http_redirects=False)


def _silence() -> None:
    """Apprise and the HTTP library below it log addresses, and mention hosts in warnings."""
    for name in ("apprise", "urllib3", "requests_oauthlib", "oauthlib"):
        logger = logging.getLogger(name)
        logger.setLevel(SILENT)
        logger.propagate = False
    warnings.filterwarnings("ignore", module=r"(apprise|urllib3|requests)(\.|$)")


async def _in_a_thread(work: Callable[[], bool]) -> bool:
    """In one of its own: a receiver that hangs must neither take a thread that others wait for, nor hold up the end of
    the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def settle(taken: bool) -> None:
        if not done.done():
            done.set_result(taken)

    def run() -> None:
        taken = False
        try:
            taken = work()
        finally:
            # The loop may have ended meanwhile: nobody waits then.
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, taken)

    threading.Thread(target=run, name="apprise", daemon=True).start()
    return await done
