"""A trade of the unit ladder over recorded prices, tick by tick, through the code that trades live."""

from collections.abc import Iterable
from decimal import Decimal

from pydantic import Field, PositiveInt

from backtest.journal import Journal, journal_line
from backtest.prices import PriceBatch
from backtest.summary import EquityCurve, Summary
from strategy.fold import booked, decide, order_worth_sending, reset
from strategy.ladder import V6, AtReset, Ladder
from strategy.state import Terms, TradeState, opened
from strategy.units import UnitMode
from strategy.values import QUANTUM, ZERO, Execution, Leg, Phase, Tick, Value, exact, round_down


class Setup(Value):
    """A trade as a backtest opens it, and what its orders cost."""

    coin: str
    margin_usd: Decimal = Field(gt=0)
    leverage: PositiveInt = 1
    unit_size: Decimal = Field(gt=0)
    unit_mode: UnitMode = UnitMode.FULL
    ladder: Ladder = V6
    at_reset: AtReset = AtReset.CAP
    fee_bps: Decimal = Field(default=ZERO, ge=0, lt=10_000)
    slippage_bps: Decimal = Field(default=ZERO, ge=0, lt=10_000)
    lot: Decimal = Field(default=QUANTUM, gt=0)
    min_notional_usd: Decimal = Field(default=ZERO, ge=0)
    """An order below it is not sent: its quantity waits for the next one."""

    @property
    def terms(self) -> Terms:
        return Terms(
            coin=self.coin,
            leverage=self.leverage,
            ladder=self.ladder,
            at_reset=self.at_reset,
            lot=self.lot,
            min_notional_usd=self.min_notional_usd,
        )


class CannotOpenError(ValueError):
    """The opening order is smaller than what can be traded; the text has the figures."""


class Fills:
    """Orders filled at once, whole, at the tick's price and the slippage beyond it; and what they cost so far."""

    def __init__(self, setup: Setup) -> None:
        self._fee_rate = setup.fee_bps / 10_000
        self._slippage_rate = setup.slippage_bps / 10_000
        self.orders = 0
        self.fees_usd = ZERO
        self.slippage_usd = ZERO

    def execute(self, order_qty: Decimal, price: Decimal) -> Execution:
        slippage = price * self._slippage_rate
        average_price = price + (slippage if order_qty > 0 else -slippage)
        fee_usd = abs(order_qty) * average_price * self._fee_rate
        self.orders += 1
        self.fees_usd += fee_usd
        self.slippage_usd += abs(order_qty) * slippage
        return Execution(size=order_qty, average_price=average_price, fee_usd=fee_usd)


def opening(setup: Setup, fills: Fills, price: Decimal) -> TradeState:
    """The trade opened at `price`; raises CannotOpenError if margin * leverage buys less than the market trades."""
    qty = round_down(setup.margin_usd * setup.leverage / price, setup.lot)
    if qty * price < max(setup.min_notional_usd, QUANTUM):
        needed = max(setup.min_notional_usd, setup.lot * price) / setup.leverage
        raise CannotOpenError(
            f"margin is {setup.margin_usd:f}: at {setup.leverage}x and a price of {price:f} it opens {qty:f} "
            f"{setup.coin}, worth {qty * price:.6g} USD; an order has to be worth {setup.min_notional_usd:f} USD and "
            f"one lot of {setup.lot:f} {setup.coin}: use at least {needed:.6g} USD"
        )
    execution = fills.execute(qty, price)
    return opened(setup.terms, setup.unit_size, setup.margin_usd, execution, unit_mode=setup.unit_mode)


def advance(state: TradeState, tick: Tick, fills: Fills) -> tuple[TradeState, list[Leg]]:
    """The state after one tick, and the legs of its orders, in order.

    A RESET ends one decision and its cycle; what is left of the tick's units, and the new cycle's resize before them,
    are decisions of their own.
    """
    traded: list[Leg] = []
    left: tuple[Tick, ...] = (tick,)
    while left:
        decision = decide(state, left)
        state, left = decision.state, decision.rest
        order_qty = order_worth_sending(state, tick.price)
        if order_qty:
            state = booked(state, fills.execute(order_qty, tick.price))
            traded.extend(decision.legs)
        elif state.legs_due and not state.net_due:
            state = booked(state, Execution(size=ZERO, average_price=tick.price))
            traded.extend(decision.legs)
        if state.reset_due:
            state = reset(state, tick.price).state
    return state, traded


class _PhaseClock:
    """Time and rows spent in each phase, counted where the phase changes."""

    def __init__(self, phase: Phase, row: int, time_ms: int) -> None:
        self.ms = dict.fromkeys(Phase, 0)
        self.ticks = dict.fromkeys(Phase, 0)
        self._phase, self._row, self._time_ms = phase, row, time_ms

    def now(self, phase: Phase, row: int, time_ms: int) -> None:
        self.ms[self._phase] += time_ms - self._time_ms
        self.ticks[self._phase] += row - self._row
        self._phase, self._row, self._time_ms = phase, row, time_ms


@exact
def run(setup: Setup, batches: Iterable[PriceBatch], journal: Journal) -> Summary:
    """Trade the recording from its first price, the entry, to its last; nothing is closed at the end.

    Raises BadPricesError from the reader, CannotOpenError, ValueError when there are no prices.
    """
    rows = iter(batches)
    first = next(rows, None)
    if first is None:
        raise ValueError("there are no prices; at least one is needed")
    backtest = _Backtest(setup, first.prices[0], first.times_ms[0], journal)
    backtest.follow(PriceBatch(first.first_row + 1, first.times_ms[1:], first.prices[1:]))
    for batch in rows:
        backtest.follow(batch)
    return backtest.summary()


class _Backtest:
    def __init__(self, setup: Setup, price: Decimal, time_ms: int, journal: Journal) -> None:
        self._setup, self._journal = setup, journal
        self._fills = Fills(setup)
        self._state = opening(setup, self._fills, price)
        self._clock = _PhaseClock(self._state.phase, 0, time_ms)
        self._curve = EquityCurve(setup.margin_usd)
        self._curve.see(self._state.equity(price))
        self._rows = 1
        self._first_ms = self._last_ms = time_ms
        self._last_price = price

    def follow(self, batch: PriceBatch) -> None:
        """Every price of the batch, in order. Strictly between the next lines nothing is decided."""
        if not batch.prices:
            return
        see = self._curve.see
        (down, up), (offset, net_qty) = self._next_lines(), self._equity_line()
        for k, price in enumerate(batch.prices):
            if not down < price < up:
                self._decide(batch.first_row + k, Tick(price=price, time_ms=batch.times_ms[k]))
                (down, up), (offset, net_qty) = self._next_lines(), self._equity_line()
            see(offset + net_qty * price)
        self._rows += len(batch.prices)
        self._last_ms, self._last_price = batch.times_ms[-1], batch.prices[-1]

    def _next_lines(self) -> tuple[Decimal, Decimal]:
        return self._state.grid.next_lines(self._state.line)

    def _equity_line(self) -> tuple[Decimal, Decimal]:
        """Equity at price 0 and per USD of price: a straight line as long as nothing is traded."""
        return self._state.equity(ZERO), self._state.ledger.net_qty

    def _decide(self, row: int, tick: Tick) -> None:
        line = self._state.line
        self._state, legs = advance(self._state, tick, self._fills)
        if self._state.line != line:
            order_qty = sum((leg.signed_qty for leg in legs), ZERO)
            self._journal.append(journal_line(row, tick, self._state, legs, order_qty))
            self._clock.now(self._state.phase, row, tick.time_ms)

    def summary(self) -> Summary:
        setup, state, fills, curve, clock = self._setup, self._state, self._fills, self._curve, self._clock
        clock.now(state.phase, self._rows, self._last_ms)
        equity_usd = state.equity(self._last_price)
        pnl_usd = equity_usd - setup.margin_usd
        return Summary(
            coin=setup.coin,
            ladder=setup.ladder.name,
            leverage=setup.leverage,
            margin_usd=setup.margin_usd,
            equity_usd=equity_usd,
            pnl_usd=pnl_usd,
            return_on_margin=pnl_usd / setup.margin_usd,
            max_drawdown_usd=curve.max_drawdown_usd,
            max_drawdown=curve.max_drawdown,
            lowest_equity_usd=curve.lowest_usd,
            cycles=state.cycle,
            resets=state.cycle - 1,
            orders=fills.orders,
            fees_usd=fills.fees_usd,
            slippage_usd=fills.slippage_usd,
            phase=state.phase,
            unit=state.current_unit,
            phase_ms=clock.ms,
            phase_ticks=clock.ticks,
            rows=self._rows,
            first_ts=self._first_ms,
            last_ts=self._last_ms,
            journal_lines=self._journal.lines,
            decisions_sha256=self._journal.sha256,
        )
