"""One trade through one short cycle: opening, every phase, RESET, close.

Each price is set when all that the one before led to is done, so a run without faults decides the same each time.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle, WorkflowQueryFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from activities.messages import TRADES_QUEUE
from cli.demo import price_beyond
from cli.trades import TASK_TIMEOUT
from simulator.markets import BY_COIN
from strategy.ladder import Ladder
from sweep.checker import Step
from sweep.rig import Rig
from workflows.contracts import Close, Mode, TradeInput, TradeRecord, TradeStatus, workflow_id

LADDER = Ladder.model_validate(
    {
        "name": "sweep",
        "fragment": "0.4",
        "retracement": [{"sell_long": 1, "open_short": 1}, {"sell_long": "rest", "open_short": "same"}],
        "hedge_fragment": "0.5",
        "cover_from": 1,
        "cover_rest_at": 2,
        "sweep_at": 2,
    }
)
"""Two steps down and two up: every phase within two units."""
Path = tuple[tuple[str, int], ...]
PATH: Path = (("retracement", -1), ("undone", 0), ("again", -1), ("DECLINE", -2), ("RECOVERY", -1), ("RESET", 0))
"""Steps between opening and close: a name, and the line whose completion leads there."""
GAPS: Path = (("gap down", -5), ("gap up", 3), ("gap down again", -1))
"""Prices that jump over many units: through every phase at once."""
OPENING, CLOSE = "opening", "close"
STEPS = (OPENING, *(name for name, _ in PATH), CLOSE)
BESIDE = ("track_units", "record", "notify")
"""Activities that trading does not wait for."""
REST_TIMEOUT_S = 60.0
POLL_S = 0.02
FIRST_EVENTS = 2
"""Started, and its first workflow task scheduled."""
ANSWER_TIMEOUT = timedelta(seconds=2)


class Stuck(Exception):
    """The trade does not go on by itself."""


@dataclass(frozen=True)
class Terms:
    coin: str = "ETH"
    price: Decimal = Decimal(2500)
    margin_usd: Decimal = Decimal(1000)
    unit_size: Decimal = Decimal(2)
    leverage: int = 10


Before = Callable[[str], Awaitable[None]]
"""Called with a step's name before it begins."""
Faulted = Callable[[], float | None]
"""When the last fault of the step in hand struck, by `time.monotonic`; None when none did."""


class Run:
    """One trade on a coin. `before` prepares what goes wrong in a step, `after` is awaited when the trade rests."""

    def __init__(
        self,
        rig: Rig,
        terms: Terms,
        *,
        before: Before | None = None,
        after: Before | None = None,
        faulted: Faulted = lambda: None,
        path: Path = PATH,
        patience_s: float = REST_TIMEOUT_S,
    ) -> None:
        self._rig = rig
        self._terms = terms
        self._before, self._after, self._faulted = before or _nothing, after or _nothing, faulted
        self.steps: list[Step] = []
        self.status: TradeStatus | None = None
        self._line = 0
        self._told_until_s = 0.0
        self._path = path
        self._patience_s = patience_s
        self.events_max = 0
        """The longest history of the trade's runs."""

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self._rig.client.get_workflow_handle(workflow_id(self._terms.coin))

    async def through(self, cycles: int = 1) -> None:
        """Open, so many cycles, close. Raises Stuck."""
        await self._step(OPENING, self._open)
        for _ in range(cycles):
            for name, line in self._path:
                await self._step(name, lambda line=line: self._move_to(line))  # type: ignore[misc]
        await self._step(CLOSE, self._close)

    async def _step(self, name: str, do: Callable[[], Awaitable[None]]) -> None:
        await self._before(name)
        began_s = time.monotonic()
        try:
            await do()
        except Stuck as stuck:
            raise Stuck(f"at {name}: {stuck}") from stuck
        rested_s = time.monotonic()
        await self._after(name)
        recovered_s = self._recovered_s(began_s, rested_s)
        self.steps.append(Step(name, await self._net_size(), rested_s - began_s, recovered_s, self._told_size(name)))

    def _told_size(self, name: str) -> Decimal | None:
        return None if name == CLOSE or self.status is None or self.status.ledger is None else self.status.ledger.net

    def _recovered_s(self, began_s: float, rested_s: float) -> float | None:
        """A fault is told of once: in the step whose rest came after it."""
        struck_s = self._faulted()
        if struck_s is None or not self._told_until_s < struck_s <= rested_s:
            return None
        self._told_until_s = struck_s
        return rested_s - max(struck_s, began_s)

    async def _open(self) -> None:
        terms, rig = self._terms, self._rig
        await rig.exchange.set_price(terms.coin, terms.price)
        asked = TradeInput(
            coin=terms.coin,
            margin_usd=terms.margin_usd,
            unit_size=terms.unit_size,
            leverage=terms.leverage,
            ladder=LADDER,
            accepts_costs=True,
        )
        await rig.client.start_workflow(
            "Trade",
            TradeRecord(input=asked),
            id=workflow_id(terms.coin),
            task_queue=TRADES_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            task_timeout=TASK_TIMEOUT,
        )
        await self._until_rest(lambda status: status.mode is Mode.TRADING)

    async def _move_to(self, line: int) -> None:
        price = self.price_of(line)
        await self._rig.exchange.set_price(self._terms.coin, price)
        self._line = line
        await self._until_rest(lambda status: status.price == price)

    async def _close(self) -> None:
        await self._until_told()
        deadline_s = time.monotonic() + self._patience_s
        while time.monotonic() < deadline_s:
            with contextlib.suppress(RPCError):
                if (await self.handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
                    return
            await asyncio.sleep(POLL_S)
        raise Stuck(await self._why())

    async def _until_told(self) -> None:
        """A close once acknowledged is kept; one that was not is told again, and refused if it had arrived."""
        while True:
            try:
                await self.handle.signal("close", Close(reason="the run is over"), rpc_timeout=ANSWER_TIMEOUT)
            except RPCError as error:
                if "completed" in str(error):
                    return
                await asyncio.sleep(POLL_S)
            else:
                return

    def price_of(self, line: int) -> Decimal:
        """A price that completes `line`, coming from its neighbour, and no line more."""
        assert self.status is not None and self.status.anchor_price is not None
        anchor = self.status.anchor_price
        step = 1 if line > self._line else -1
        return price_beyond(anchor, self._terms.unit_size, line, step, BY_COIN[self._terms.coin].tick(anchor))

    async def _until_rest(self, arrived: Callable[[TradeStatus], bool]) -> None:
        """Until the trade has arrived, and nothing that trading waits for is pending with Temporal."""
        deadline_s = time.monotonic() + self._patience_s
        while time.monotonic() < deadline_s:
            with contextlib.suppress(RPCError, WorkflowQueryFailedError):
                if await self._is_at_rest():
                    status = await self._ask()
                    if status.mode is Mode.ATTENTION:
                        raise Stuck(f"the trade needs attention: {status.attention}")
                    if arrived(status) and await self._is_at_rest():
                        self.status = status
                        return
            await asyncio.sleep(POLL_S)
        raise Stuck(await self._why())

    async def _is_at_rest(self) -> bool:
        description = await self.handle.describe(rpc_timeout=ANSWER_TIMEOUT)
        if description.status is not WorkflowExecutionStatus.RUNNING:
            raise Stuck(f"the trade ended by itself: {description.status}")
        raw = description.raw_description
        self.events_max = max(self.events_max, description.history_length)
        busy = any(pending.activity_type.name not in BESIDE for pending in raw.pending_activities)
        # The server holds back the first task of a run that follows the one before within a second.
        begun = description.history_length > FIRST_EVENTS
        return begun and not busy and not raw.HasField("pending_workflow_task")

    async def _ask(self) -> TradeStatus:
        status: TradeStatus = await self.handle.query("status", result_type=TradeStatus, rpc_timeout=ANSWER_TIMEOUT)
        return status

    async def _why(self) -> str:
        """What the trade looks like now, for whoever looks into it."""
        try:
            status = await self._ask()
            raw = (await self.handle.describe()).raw_description
        except (RPCError, WorkflowQueryFailedError) as error:
            return f"the trade does not answer: {error}"
        pending = ", ".join(f"{each.activity_type.name} (try {each.attempt})" for each in raw.pending_activities)
        return (
            f"no rest in {self._patience_s:.0f} s: mode {status.mode}, price {status.price}, "
            f"order in flight {status.order_in_flight}, pending: {pending}, "
            f"workflow task pending {raw.HasField('pending_workflow_task')}"
        )

    async def _net_size(self) -> Decimal:
        return Decimal((await self._rig.books())["positions"].get(self._terms.coin, "0"))


async def _nothing(_: str) -> None:
    """Before and after the steps of a run that nobody disturbs."""
