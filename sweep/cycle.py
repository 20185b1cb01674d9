"""One trade through one story: opening, every phase, RESET, perhaps a stranger's hand, and its end.

Each price is set when all that the one before led to is done, so a run without faults decides the same each time.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from temporalio.client import WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.messages import TRADES_QUEUE, Outage
from cli.demo import price_beyond
from cli.trades import TASK_TIMEOUT
from simulator.markets import BY_COIN
from sweep.account_stop import AccountStop
from sweep.hands import liquidated, touch
from sweep.judged import AccountProof, Step, Touch
from sweep.resting import resting_of
from sweep.rig import Rig
from sweep.story import ANSWER, CLOSE, HAND, ONWARDS, OPENING, TO_THE_END, Deed, Ending, Hand, Story
from sweep.talk import Stuck, Talk
from sweep.terms import Terms
from workflows import asked
from workflows.asked import workflow_id
from workflows.contracts import Mode, TradeRecord
from workflows.status import TradeStatus

REST_TIMEOUT_S = 60.0
STOP_ALL_WAITS_S = 45
LURES = (-6, 2, -3)
"""Units from where it stood: prices that a stopped trade must not act on."""
ANSWERS = {
    "adopt": asked.Adopt,
    "rehedge": asked.Rehedge,
    "release": asked.Release,
    "close": asked.Close,
}


Before = Callable[[str], Awaitable[None]]
"""Called with a step's name before it begins."""
Faulted = Callable[[], float | None]
"""When the last fault of the step in hand struck, by `time.monotonic`; None when none did."""


class Absence(Protocol):
    """Somebody is away while a hand does its deed."""

    async def long_enough(self) -> None:
        """Until it is worth a word that they were away."""

    async def end(self) -> None:
        """They come back."""


async def _nothing(_: str) -> None:
    """Before and after the steps of a run that nobody disturbs."""


@dataclass(frozen=True)
class Hooks:
    """`before` prepares what goes wrong in a step, `after` is awaited when the trade rests."""

    before: Before = _nothing
    after: Before = _nothing
    faulted: Faulted = lambda: None
    absence: Absence | None = None
    """None: a trade under a hand is told to look, as by a worker that starts."""


UNDISTURBED = Hooks()


class Run:
    """One trade on a coin."""

    def __init__(
        self,
        rig: Rig,
        terms: Terms,
        story: Story = TO_THE_END,
        hooks: Hooks = UNDISTURBED,
        *,
        patience_s: float = REST_TIMEOUT_S,
    ) -> None:
        self._rig = rig
        self._terms = terms
        self._story = story
        self._hooks = hooks
        self._talk = Talk(rig.client, terms.coin, patience_s=patience_s)
        self._account_stop = AccountStop(rig, story.ending, patience_s=patience_s)
        self.ending = story.ending
        self.steps: list[Step] = []
        self.touches: list[Touch] = []
        self.account_proof: AccountProof | None = None
        self.status: TradeStatus | None = None
        self._line = 0
        self._price = terms.price
        self._told_until_s = 0.0

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self._talk.handle

    @property
    def handles(self) -> dict[str, WorkflowHandle[Any, Any]]:
        """Of all workflows that the run has, for whoever looks into what became of them."""
        own = {"history": self.handle}
        return own | {"emergency-stop": self._account_stop.handle} if self.ending.is_emergency else own

    @property
    def events_max(self) -> int:
        return self._talk.events_max

    @property
    def ends_flat(self) -> bool:
        hand = self._story.hand
        return hand is None or hand.answer != "release"

    async def through(self, cycles: int = 1) -> None:
        """Open, so many cycles, what the story has, the end. Raises Stuck."""
        await self._account_stop.prepare()
        await self._step(OPENING, self._open)
        for _ in range(cycles):
            for name, line in self._story.path:
                await self._step(name, lambda line=line: self._move_to(line))  # type: ignore[misc]
        if (hand := self._story.hand) is not None:
            await self._step(HAND, lambda: self._be_touched(hand))
            await self._step(ANSWER, lambda: self._answer(hand))
            if hand.ends:
                return
            await self._step(ONWARDS, lambda: self._move_to(self._line - 1))
        await self._step(CLOSE, self._end)

    async def suffer(self, hand: Hand) -> None:
        """A hand and its answer, between two steps."""
        await self._be_touched(hand)
        await self._answer(hand)

    async def _step(self, name: str, do: Callable[[], Awaitable[None]]) -> None:
        await self._hooks.before(name)
        began_s = time.monotonic()
        try:
            await do()
        except Stuck as stuck:
            raise Stuck(f"at {name}: {stuck}") from stuck
        rested_s = time.monotonic()
        await self._hooks.after(name)
        recovered_s = self._recovered_s(began_s, rested_s)
        books, coin = await self._rig.books(), self._terms.coin
        resting = resting_of(order for order in books["acceptedOrders"] if order["coin"] == coin)
        net_size = Decimal(books["positions"].get(coin, "0"))
        self.steps.append(Step(name, net_size, rested_s - began_s, recovered_s, self._told_size(name), resting))

    def _told_size(self, name: str) -> Decimal | None:
        """Under a hand the two differ, and one that is over has nothing to say."""
        over = name in (HAND, CLOSE) or (name == ANSWER and self._story.hand is not None and self._story.hand.ends)
        return None if over or self.status is None or self.status.ledger is None else self.status.ledger.net

    def _recovered_s(self, began_s: float, rested_s: float) -> float | None:
        """A fault is told of once: in the step whose rest came after it."""
        struck_s = self._hooks.faulted()
        if struck_s is None or not self._told_until_s < struck_s <= rested_s:
            return None
        self._told_until_s = struck_s
        return rested_s - max(struck_s, began_s)

    async def _open(self) -> None:
        terms, rig = self._terms, self._rig
        await rig.exchange.set_price(terms.coin, terms.price)
        await rig.client.start_workflow(
            "Trade",
            TradeRecord(input=terms.asked()),
            id=workflow_id(terms.coin),
            task_queue=TRADES_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            task_timeout=TASK_TIMEOUT,
        )
        self.status = await self._talk.until_rest(lambda status: status.mode is Mode.TRADING)

    async def _move_to(self, line: int) -> None:
        price = await self._set_price(line)
        self.status = await self._talk.until_rest(lambda status: status.price == price)

    async def move_on(self) -> None:
        """A unit further down, whatever the trade makes of it."""
        await self._set_price(self._line - 1)

    async def _set_price(self, line: int) -> Decimal:
        price = self.price_of(line)
        await self._rig.exchange.set_price(self._terms.coin, price)
        self._line, self._price = line, price
        return price

    def price_of(self, line: int) -> Decimal:
        """A price that completes `line`, coming from its neighbour, and no line more."""
        assert self.status is not None and self.status.anchor_price is not None
        anchor = self.status.anchor_price
        step = 1 if line > self._line else -1
        return price_beyond(anchor, self._terms.unit_size, line, step, BY_COIN[self._terms.coin].tick(anchor))

    async def _be_touched(self, hand: Hand) -> None:
        """Until the trade has found out, and knows the price. It orders nothing: that the judge sees."""
        next_line, absence = self._line - 1, self._hooks.absence
        if hand.deed is Deed.LIQUIDATED and absence is None:
            # It takes a price that the trade would act on before it looks.
            await self._talk.tell("pause", asked.Pause())
            await self._talk.until_rest(lambda status: status.mode is Mode.PAUSED)
        self.touches.append(await self._touch(hand.deed, next_line))
        if absence is None:
            await self._talk.tell("was_away", _now_away())
            await self._found_out()
        if hand.price == "waits":
            await self._set_price(next_line)
        if absence is not None:
            await absence.long_enough()
        if hand.price == "is fresh":
            await self._set_price(next_line)
        if absence is not None:
            await absence.end()
            await self._found_out()
        await self._talk.until_told_of(self._line)

    async def _found_out(self) -> None:
        await self._talk.until_rest(lambda status: status.mode is Mode.ATTENTION, in_attention=True)

    async def _touch(self, deed: Deed, next_line: int) -> Touch:
        if deed is not Deed.LIQUIDATED:
            return await touch(self._rig, self._terms.coin, deed)
        price = self.price_of(next_line)
        self._line = next_line
        return await liquidated(self._rig, self._terms.coin, price)

    async def _answer(self, hand: Hand) -> None:
        self.touches[-1] = replace(self.touches[-1], to_ms=await self._rig.exchange_ms())
        await self._talk.tell(hand.answer, ANSWERS[hand.answer](reason="the run says so"))
        if hand.ends:
            await self._talk.until_ended()
            return
        # A price that waited is acted on now, with the same order; where a cycle begins anew it is the first.
        moved = self._price if hand.price != "stands still" and hand.answer == "rehedge" else None
        self.status = await self._talk.until_rest(
            lambda status: status.mode is Mode.TRADING and moved in (None, status.price), in_attention=True
        )

    async def _end(self) -> None:
        if self._story.moving:
            await self.move_on()
        match self.ending:
            case Ending.CLOSE:
                await self._talk.tell("close", asked.Close(reason="the run is over"))
            case Ending.STOP:
                await self._talk.tell("stop", asked.Stop(reason="the run is over"))
                await self._release_stopped()
            case Ending.STOP_ALL:
                await self._stop_all()
                await self._release_stopped()
            case Ending.EMERGENCY | Ending.PORTFOLIO | Ending.EVERYTHING:
                self.account_proof = await self._account_stop.proved()
                await self._release_stopped()
                await self._account_stop.end()
        await self._talk.until_ended()

    async def _stop_all(self) -> None:
        """By the command. Raises Stuck unless it says that all is flat, with a proof of this trade."""
        code, out, err = await self._rig.command("stop-all", "--json", "--wait-s", str(STOP_ALL_WAITS_S))
        report = json.loads(out) if out else {}
        proved = [trade["coin"] for trade in report.get("trades", ()) if trade["proof"]]
        if code or not report.get("flat") or self._terms.coin not in proved:
            raise Stuck(f"stop-all ended with {code}: {err.strip() or out}")

    async def _release_stopped(self) -> None:
        """Stopped for good: prices that would make it order come, and it ends only when it is told to."""
        status = await self._talk.until_rest(lambda status: status.mode is Mode.STOPPED)
        if status.flat_proof is None:
            raise Stuck("the trade is stopped without the exchange's word that it is flat")
        for units in LURES:
            await self._set_price(self._line + units)
        await self._talk.tell("was_away", _now_away())
        await self._talk.until_rest(lambda status: status.mode is Mode.STOPPED)
        await self._talk.tell("release", asked.Release(reason="the run is over"))


def _now_away() -> Outage:
    """A worker's word that it is here."""
    now_ms = time.time_ns() // 1_000_000
    return Outage(who="worker", from_ms=now_ms, to_ms=now_ms)
