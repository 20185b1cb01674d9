"""The trade of a backtest: its state, its journal, and the clocks that count what it spent its time in."""

from dataclasses import dataclass
from decimal import Decimal

from backtest.book import Book
from backtest.journal import Journal, journal_line
from backtest.setup import Setup
from backtest.trading import Fills, advance, opening
from strategy.fold import Reset
from strategy.state import TradeState
from strategy.values import ZERO, Leg, Phase, Tick


@dataclass(frozen=True, slots=True)
class Decided:
    """A price at which the unit changed, and the trade after it."""

    row: int
    tick: Tick
    state: TradeState
    legs: tuple[Leg, ...]
    order_qty: Decimal


@dataclass(frozen=True, slots=True)
class CycleEnd:
    """A RESET, or the end of the run, and what had been counted by then since the entry."""

    number: int
    time_ms: int
    price: Decimal
    pnl_usd: Decimal
    orders: int
    fees_usd: Decimal
    funding_usd: Decimal


class Clock:
    """Time and prices in each phase, and time with a position, counted where they change."""

    def __init__(self, phase: Phase, time_ms: int) -> None:
        self.ms = dict.fromkeys(Phase, 0)
        self.ticks = dict.fromkeys(Phase, 0)
        self.held_ms = 0
        self._phase, self._index, self._time_ms, self._holds = phase, 0, time_ms, True

    def now(self, phase: Phase, holds: bool, index: int, time_ms: int) -> None:
        """From price `index` on the trade is in `phase`."""
        passed_ms = time_ms - self._time_ms
        self.ms[self._phase] += passed_ms
        self.ticks[self._phase] += index - self._index
        self.held_ms += passed_ms if self._holds else 0
        self._phase, self._index, self._time_ms, self._holds = phase, index, time_ms, holds


class Trade(Book):
    """The strategy's own book. It acts when it is told to; who tells it is the path.

    Strictly between the prices `quiet_from` and `quiet_to` nothing happens: no unit completes, nothing is liquidated.
    """

    def __init__(self, setup: Setup, price: Decimal, time_ms: int, journal: Journal, *, keep: bool = False) -> None:
        """Opened at `price`, the first; `keep` also keeps every decision. Raises CannotOpenError."""
        super().__init__(setup, time_ms, keep_lines=keep)
        self.fills, self.journal = Fills(setup), journal
        self.state = opening(setup, self.fills, price)
        self.clock = Clock(self.state.phase, time_ms)
        self.decisions: list[Decided] | None = [] if keep else None
        self.cycle_ends: list[CycleEnd] = []
        self.last_order_ms = time_ms
        self._follow_state(0)
        self.curve.see(self.equity(price), time_ms)

    @property
    def ended(self) -> bool:
        """By the exchange, or by a limit."""
        return self.liquidated is not None or self.state.breach is not None

    def act(self, row: int, index: int, tick: Tick) -> None:
        """One price outside the quiet band, the `index`-th of the run. First the exchange looks at it, then we do."""
        if tick.price < self.below or tick.price > self.above:
            self.liquidate(index, tick.time_ms, tick.price, self.fills)
            self.clock.now(self.state.phase, False, index, tick.time_ms)
            return
        line = self.state.line
        if self.state.grid.line_reached(line, tick.price) != line:
            self._decide(row, index, tick)
        self.curve.see(self.equity(tick.price), tick.time_ms)

    def _decide(self, row: int, index: int, tick: Tick) -> None:
        def on_reset(ended: Reset) -> None:
            self._end_cycle(ended.cycle, tick, ended.pnl_usd)

        orders = self.fills.orders
        self.state, legs = advance(self.state, tick, self.fills, on_reset)
        if self.fills.orders > orders:
            self.last_order_ms = tick.time_ms
        order_qty = sum((leg.signed_qty for leg in legs), ZERO)
        self.journal.append(journal_line(row, tick, self.state, legs, order_qty))
        if self.decisions is not None:
            self.decisions.append(Decided(row, tick, self.state, tuple(legs), order_qty))
        self._follow_state(index)
        self.clock.now(self.state.phase, bool(self.net_qty), index, tick.time_ms)

    def _end_cycle(self, number: int, tick: Tick, pnl_usd: Decimal) -> None:
        fills = self.fills
        self.cycle_ends.append(
            CycleEnd(number, tick.time_ms, tick.price, pnl_usd, fills.orders, fills.fees_usd, self.funding_usd)
        )

    def _follow_state(self, index: int) -> None:
        self.move(index, self.state.equity(ZERO), self.state.ledger.net_qty)
        down, up = self.state.grid.next_lines(self.state.line)
        self.quiet_from, self.quiet_to = max(down, self.below), min(up, self.above)

    def _charge(self, index: int, paid_usd: Decimal) -> None:
        self.state = self.state.changed(ledger=self.state.ledger.charged(paid_usd))
        self._follow_state(index)

    def finish(self, tick: Tick, prices: int) -> None:
        """Close the clocks, and the cycle that is running, at the run's last price."""
        self.clock.now(self.state.phase, bool(self.net_qty), prices, tick.time_ms)
        self._end_cycle(self.state.cycle, tick, self.equity(tick.price) - self.state.allocation)
