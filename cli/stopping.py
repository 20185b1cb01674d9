"""Every trade told to stop, and asked until it is proved flat or is over, whatever Temporal answers meanwhile."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cli import trades
from cli.errors import CommandFailed
from cli.names import coin_in
from connection import TemporalUnreachable, connect
from settings import Settings
from workflows.asked import Stop, workflow_id
from workflows.contracts import FlatProof, Mode

ASKS_EVERY_S = 0.5
LISTS_EVERY_S = 1.0
CALM_LISTS = 2
"""In a row, with nothing new and nothing to wait for: a trade that was started just before the first is in the next."""
SIGNAL_TIMEOUT = timedelta(seconds=5)

Say = Callable[[str], None]


class StoppedTrade(BaseModel):
    """`proof` is None while the exchange has not confirmed that the coin is flat. `network` and `account` are empty as
    long as the trade did not answer; `account` also if it ended before it asked the exchange anything."""

    name: str
    """What it is called: ETH, or ETH-hedge."""
    coin: str
    network: str = ""
    account: str = ""
    mode: Mode | None = None
    ended: bool = False
    """It is over without a stop: refused as it opened, closed, released or terminated; or nothing was held yet."""
    proof: FlatProof | None = None
    trouble: str | None = None

    @property
    def never_ordered(self) -> bool:
        return self.ended and self.mode is not None and not self.account


@dataclass(frozen=True)
class Stopped:
    trades: Sequence[StoppedTrade]
    trouble: str | None
    """Why it is not known whether these are all that run."""


async def stop_trades(settings: Settings, asked: Stop, deadline_s: float, say: Say) -> Stopped:
    """List and stop until no trade that runs lacks its proof, or the deadline. `say` hears what does not answer."""
    client: Client | None = None
    round_up = _RoundUp(asked, deadline_s)
    trouble: str | None = None
    calm_lists = 0
    while True:
        try:
            client = client or await connect(settings)
            news = await round_up.tell_those_not_told(client)
        except (TemporalUnreachable, CommandFailed) as error:
            if trouble is None:
                say(f"{error}; trying on")
            trouble, calm_lists = str(error), 0
        else:
            trouble = None
            calm_lists = calm_lists + 1 if round_up.all_done and not news else 0
        if calm_lists == CALM_LISTS or time.monotonic() >= deadline_s:
            return Stopped(await round_up.stopped(), trouble)
        await asyncio.sleep(LISTS_EVERY_S)


class _RoundUp:
    """Who was told so far: the newest trade of each name, and those of that name that were over before."""

    def __init__(self, asked: Stop, deadline_s: float) -> None:
        self._asked = asked
        self._deadline_s = deadline_s
        self._told: dict[str, asyncio.Task[StoppedTrade]] = {}
        self._over: list[StoppedTrade] = []

    @property
    def all_done(self) -> bool:
        return all(task.done() for task in self._told.values())

    async def stopped(self) -> list[StoppedTrade]:
        """Waits for the last of them, which is the deadline at most."""
        return sorted([*self._over, *await asyncio.gather(*self._told.values())], key=lambda trade: trade.name)

    async def tell_those_not_told(self, client: Client) -> bool:
        """Whether there were any. Raises CommandFailed when Temporal does not answer."""
        listed = await trades.names_running(client)
        news = listed - self._told.keys()
        for name in news:
            self._tell(client, name)
        for name in listed - news:
            task = self._told[name]
            # There is a new trade of its name, or the list is late.
            if task.done() and task.result().ended and await trades.running_on(client, name):
                self._over.append(task.result())
                self._tell(client, name)
                news.add(name)
        return bool(news)

    def _tell(self, client: Client, name: str) -> None:
        self._told[name] = asyncio.create_task(stop_trade(client, name, self._asked, self._deadline_s))


async def stop_trade(client: Client, name: str, asked: Stop, deadline_s: float) -> StoppedTrade:
    """Tell one trade, and wait for its proof. A signal that Temporal took is never lost; until then it is repeated."""
    told, seen = False, StoppedTrade(name=name, coin=coin_in(name))
    first_run_id: str | None = None
    while True:
        try:
            told = told or await _tell(client, name, asked)
            under_the_name = await trades.running_on(client, name)
            first_run_id = first_run_id or under_the_name
            ended = under_the_name is None or under_the_name != first_run_id
            # Asked after it was seen to be over: then this is its last word. Another trade's would not be.
            if under_the_name in (None, first_run_id):
                seen = await _heard(client, name)
            seen = seen.model_copy(update={"ended": ended})
            if ended or (seen.proof and seen.mode in (Mode.STOPPED, Mode.CLOSED)):
                return seen
        except CommandFailed as error:
            seen = seen.model_copy(update={"trouble": str(error)})
        if time.monotonic() >= deadline_s:
            return seen
        await asyncio.sleep(ASKS_EVERY_S)


async def _tell(client: Client, name: str, asked: Stop) -> bool:
    try:
        await client.get_workflow_handle(workflow_id(name)).signal("stop", asked, rpc_timeout=SIGNAL_TIMEOUT)
    except RPCError as error:
        # It ended since it was listed.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise CommandFailed(f"not told yet: {error}") from error
    return True


async def _heard(client: Client, name: str) -> StoppedTrade:
    status = await trades.any_status(client, name)
    return StoppedTrade(
        name=name,
        coin=status.coin,
        network=status.network,
        account=status.account,
        mode=status.mode,
        proof=status.flat_proof,
        trouble=status.attention,
    )
