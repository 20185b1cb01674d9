"""What a trade hears and tells: signals and queries; updates are in `workflows.updates`.

Handlers take whatever comes, read it, and write down what is asked; the loop in `workflows.trade` acts on it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from activities.messages import Greeting, Neighbour, Outage, SignBy, SignedBy, Tracking, TradeSummary, UnitsMoved
    from journal.entries import Standing
    from strategy.fold import turning_points, watched
    from workflows.asked import Adopt, Close, Edit, Pause, Rehedge, Release, Resume, SetUnitSize, Stop
    from workflows.backstop import Backstop
    from workflows.book import Book
    from workflows.commands import AHEAD_MS_MAX
    from workflows.contracts import Mode
    from workflows.diary import now_ms
    from workflows.display import ledger_view, status_view, summary_view
    from workflows.granting import Granted, Leave, Review
    from workflows.handover import Handover
    from workflows.neighbours import Neighbours
    from workflows.standing import standing_of
    from workflows.status import LedgerView, TradeStatus
    from workflows.updates import Updates

SIGNALS = ("pause", "resume", "close", "stop", "set_unit_size", "edit", "adopt", "rehedge", "release", "leave")
"""An operator's."""
JUMP_MAX = 5
WAITING_MAX = 20_000
"""Prices told to a trade that can't act on them: its state has to fit into one message."""


def _check_plausible(moved: UnitsMoved, last_price: Decimal | None) -> None:
    """Raises ValueError for what no feed tells: a slip of an operator must not make a trade deaf, or walk for ever."""
    latest_ms = now_ms() + AHEAD_MS_MAX
    for tick in moved.ticks:
        if tick.time_ms > latest_ms:
            raise ValueError(f"time_ms is {tick.time_ms}; at most {latest_ms}, half a minute ahead, is allowed")
        if last_price is not None and not last_price / JUMP_MAX <= tick.price <= last_price * JUMP_MAX:
            raise ValueError(
                f"price is {tick.price}; {last_price / JUMP_MAX:.6g} to {last_price * JUMP_MAX:.6g} is allowed, "
                f"{JUMP_MAX} times from the last price"
            )


class Handlers(Updates):
    """The part of a trade that others talk to."""

    _book: Book
    _backstop: Backstop
    _neighbours: Neighbours
    _handover: Handover

    @workflow.query(description="Everything about the trade, for people and programs")
    def status(self) -> TradeStatus:
        book, workflow_id = self._book, workflow.info().workflow_id
        order_due = book.order_due or self._backstop.is_due()
        return status_view(self._record, workflow_id, order_in_flight=book.order_in_flight, order_due=order_due)

    @workflow.query(description="Long, short, cash and equity at the last price")
    def ledger(self) -> LedgerView:
        record = self._record
        if record.state is None or record.last_price is None:
            raise ValueError("the trade is not open yet")
        return ledger_view(record.state, record.last_price)

    @workflow.query(description="The few figures that its portfolio reckons with")
    def summary(self) -> TradeSummary:
        return summary_view(self._record, workflow.info().workflow_id)

    @workflow.query(description="All that another run of the trade would begin with, as the journal keeps it")
    def standing(self) -> Standing:
        standing = standing_of(self._record, now_ms())
        if standing is None:
            raise ValueError("the trade is not open yet")
        return standing

    @workflow.query(description="What a feed process follows the price from")
    def tracking(self) -> Tracking:
        record = self._record
        if record.followed is None:
            raise ValueError("the trade is not open yet")
        grid, line = record.followed
        for tick in record.inbox:
            # Told, but not folded yet.
            line = grid.line_reached(line, tick.price)
        return Tracking(
            coin=record.input.coin, grid=grid, line=line, since_ms=record.since_ms, last_tid=record.last_tid
        )

    @workflow.query(description="What it tells another trade on its coin")
    def neighbour(self) -> Neighbour:
        return self._neighbours.said_to_them()

    @workflow.signal(name="neighbour", description="From another trade on its coin: it is there, or sees a difference")
    def neighbour_greets(self, given: Any = None, *extra: Any) -> None:
        self._neighbours.heard(self._commands.read(Greeting, given, extra))

    @workflow.signal(description="From the feed: the prices that completed units")
    def units_moved(self, given: Any = None, *extra: Any) -> None:
        moved = self._commands.read(UnitsMoved, given, extra)
        record = self._record
        if record.mode in (Mode.STOPPED, Mode.CLOSED):
            return
        _check_plausible(moved, record.last_price)
        # Another feed process may have told some of it already.
        news = [tick for tick in moved.ticks if tick.time_ms >= record.since_ms]
        if not news or (news[-1].time_ms == record.since_ms and moved.tid == record.last_tid):
            return
        record.since_ms, record.last_tid, record.traceparent = news[-1].time_ms, moved.tid, moved.traceparent
        record.sent_ms = moved.sent_ms
        record.inbox.extend(news)
        if self._book.is_held_up and record.state is not None:
            # Not folded before the resume; but a limit does not wait for that.
            record.state = watched(record.state, news[-1].price, record.state.ledger)
        if any(self._backstop.is_reached(tick.price) for tick in news):
            record.look_due = record.look_due or "the backstop's price was reached"
        if len(record.inbox) > WAITING_MAX:
            self._shorten_inbox()

    def _shorten_inbox(self) -> None:
        """Prices wait for an outcome or a person for days: what changes no unit goes first, then the oldest half."""
        record = self._record
        taken = record.pending.taken if record.pending is not None else self._book.taken
        waiting = turning_points(record.inbox[taken:])
        if len(waiting) > WAITING_MAX // 2:
            self._commands.note(f"{len(waiting)} prices wait; the oldest half was dropped")
            waiting = waiting[len(waiting) // 2 :]
        record.inbox[taken:] = waiting

    @workflow.signal(description='Track without orders: {"reason": "..."}')
    def pause(self, given: Any = None, *extra: Any) -> None:
        self._commands.pause(self._commands.read(Pause, given, extra))

    @workflow.signal(description='Trade on, folding to now with one order: {"reason": "..."}')
    def resume(self, given: Any = None, *extra: Any) -> None:
        self._commands.resume(self._commands.read(Resume, given, extra))

    @workflow.signal(description='Close the position and end the trade: {"reason": "..."}')
    def close(self, given: Any = None, *extra: Any) -> None:
        self._commands.close(self._commands.read(Close, given, extra))

    @workflow.signal(description='Emergency: close, and never order again until released: {"reason": "..."}')
    def stop(self, given: Any = None, *extra: Any) -> None:
        self._commands.stop(self._commands.read(Stop, given, extra))

    @workflow.signal(description='In attention: a new cycle with what the exchange holds: {"reason": "..."}')
    def adopt(self, given: Any = None, *extra: Any) -> None:
        self._commands.adopt(self._commands.read(Adopt, given, extra))

    @workflow.signal(description='In attention: one order back to what the ladder wants: {"reason": "..."}')
    def rehedge(self, given: Any = None, *extra: Any) -> None:
        self._commands.rehedge(self._commands.read(Rehedge, given, extra))

    @workflow.signal(description='End the trade without an order: {"reason": "..."}')
    def release(self, given: Any = None, *extra: Any) -> None:
        self._commands.release(self._commands.read(Release, given, extra))

    @workflow.signal(description="From the feed or a worker: something was gone and is back")
    def was_away(self, given: Any = None, *extra: Any) -> None:
        self._commands.was_away(self._commands.read(Outage, given, extra))

    @workflow.signal(description='New grid at the current price, only at 100% long: {"unit_size": "2.5"}')
    def set_unit_size(self, given: Any = None, *extra: Any) -> None:
        self._commands.set_unit_size(self._commands.read(SetUnitSize, given, extra))

    @workflow.signal(description='A new version of the plan: {"input": {...}}; easier by `hypertrader plan edit`')
    def edit(self, given: Any = None, *extra: Any) -> None:
        self._commands.edit(self._commands.read(Edit, given, extra))

    @workflow.signal(description='No new cycle: closes at the next RESET, or before: {"profit_usd": "50"}')
    def leave(self, given: Any = None, *extra: Any) -> None:
        self._commands.leave(self._commands.read(Leave, given, extra))

    @workflow.signal(description="From its portfolio: the answer to an ask")
    def granted(self, given: Any = None, *extra: Any) -> None:
        self._commands.granted(self._commands.read(Granted, given, extra))

    @workflow.signal(description="From its portfolio: ask for the margin anew")
    def review(self, given: Any = None, *extra: Any) -> None:
        self._commands.review(self._commands.read(Review, given, extra))

    @workflow.query(description="By whose key it signs, and who has to finish what is on its way")
    def signed_by(self) -> SignedBy:
        record = self._record
        began = {intent.signer for intent in record.on_their_way.values()}
        return SignedBy(account=record.account, signer=record.signer, began=tuple(sorted(began)))

    @workflow.signal(description="From a worker: its key signs from now on")
    def sign_by(self, given: Any = None, *extra: Any) -> None:
        self._handover.told(self._commands.read(SignBy, given, extra))

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, args: Sequence[RawValue]) -> None:
        raise ValueError(f"there is no signal {name}; {', '.join(SIGNALS)} exist")

    def note_refused(self, signal: str, error: Exception) -> None:
        """Called by the guard: what a handler refused is kept where people see it."""
        self._commands.refused(signal, str(error))
