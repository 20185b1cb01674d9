"""A trade driven the way the engine drives it, with fills the test decides on; and random ladders and paths."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Context, Decimal, localcontext

from hypothesis import settings
from hypothesis import strategies as st

from strategy.fibonacci import FIBONACCI, Fibonacci
from strategy.fold import booked, decide, order_worth_sending, reset
from strategy.ladder import V6, V7, AtReset, Ladder
from strategy.risk import Limits
from strategy.state import Terms, TradeState, opened
from strategy.units import UnitMode
from strategy.values import QUANTUM, ZERO, Execution, Leg, Tick

EXACT = Context(prec=40)
TOLERANCE_USD = Decimal("1e-9")
PATIENT = settings(deadline=None, max_examples=60)
"""For whole paths: a machine that is busy is no failure."""

Fill = Callable[[Decimal, Decimal], Execution]
"""What becomes of an order: its size and the price it was decided at."""


def at_the_price(size: Decimal, price: Decimal) -> Execution:
    return Execution(size=size, average_price=price)


def open_trade(
    ladder: Ladder | Fibonacci = V6,
    *,
    price: str = "100",
    unit: str = "1",
    margin: str = "100",
    leverage: int = 10,
    lot: Decimal = QUANTUM,
    minimum: str = "0",
    at_reset: AtReset = AtReset.KEEP,
    unit_mode: UnitMode = UnitMode.FULL,
    limits: Limits | None = None,
) -> TradeState:
    terms = Terms(
        coin="ETH",
        leverage=leverage,
        ladder=ladder,
        at_reset=at_reset,
        lot=lot,
        min_notional_usd=Decimal(minimum),
        limits=limits or Limits(),
    )
    with localcontext(EXACT):
        qty = (Decimal(margin) * leverage / Decimal(price) / lot).to_integral_value(rounding=ROUND_DOWN) * lot
    bought = Execution(size=qty, average_price=Decimal(price))
    return opened(terms, Decimal(unit), Decimal(margin), bought, unit_mode=unit_mode)


def tick(price: Decimal | str | int, time_ms: int = 0) -> Tick:
    return Tick(price=Decimal(price), time_ms=time_ms)


def units(state: TradeState) -> tuple[object, ...]:
    """All that must depend on the path's turning points alone."""
    return (state.line, state.phase, state.current_unit, state.peak_unit, state.valley_unit, state.cycle)


def holdings(state: TradeState) -> tuple[Decimal, Decimal]:
    return state.ledger.long_qty, state.ledger.short_qty


@dataclass
class Trader:
    """Keeps a state and sends its orders; remembers every order, leg and cycle's start."""

    state: TradeState
    fill: Fill = at_the_price
    orders: list[Execution] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    starts: list[TradeState] = field(default_factory=list)
    """The state right after each RESET and its resize."""

    def prices(self, *prices: Decimal | str | int) -> TradeState:
        """Each price a decision of its own."""
        for price in prices:
            self.batch([price])
        return self.state

    def batch(self, prices: Iterable[Decimal | str | int]) -> TradeState:
        """All prices one decision, but for what a RESET leaves over."""
        left = tuple(tick(price) for price in prices)
        while left:
            decision = decide(self.state, left)
            self.state, left = decision.state, decision.rest
            self.legs.extend(decision.legs)
            self._send_all(decision.price)
            if self.state.reset_due:
                self.state = reset(self.state, decision.price).state
                if not self.state.resizing:
                    self.starts.append(self.state)
        return self.state

    def _send_all(self, price: Decimal) -> None:
        """An order, and its remainders as orders of their own, until nothing worth sending is due."""
        resizing = self.state.resizing
        while size := order_worth_sending(self.state, price):
            self._book(self.fill(size, price))
        if self.state.legs_due and not self.state.net_due:
            self._book(Execution(size=ZERO, average_price=price))
        if resizing:
            self.starts.append(self.state)

    def _book(self, execution: Execution) -> None:
        self.orders.append(execution)
        self.state = booked(self.state, execution)


def of_two_places(low: str, high: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal(low), Decimal(high), places=2)


@st.composite
def ladders(draw: st.DrawFn) -> Ladder:
    """v6, v7, or any valid ladder of up to six steps."""
    if draw(st.booleans()):
        return draw(st.sampled_from([V6, V7]))
    fragment = draw(of_two_places("0.02", "1"))
    left = 1 / fragment
    steps: list[dict[str, object]] = []
    for _ in range(draw(st.integers(0, 5))):
        sold = min(draw(of_two_places("0", "4")), left.quantize(Decimal("0.01"), rounding=ROUND_DOWN))
        left -= sold
        steps.append({"sell_long": sold, "open_short": draw(st.just("same") | of_two_places("0", "3"))})
    steps.append({"sell_long": "rest", "open_short": draw(st.just("same") | of_two_places("0", "3"))})
    heights = sorted(draw(st.lists(st.integers(1, 7), min_size=3, max_size=3)))
    return Ladder.model_validate(
        {
            "name": "drawn",
            "fragment": fragment,
            "retracement": steps,
            "hedge_fragment": draw(of_two_places("0.05", "1")),
            "cover_from": heights[0],
            "cover_rest_at": heights[1],
            "sweep_at": heights[2],
            "reset_on_full_reversal": draw(st.booleans()),
        }
    )


@st.composite
def hedges(draw: st.DrawFn) -> Fibonacci:
    """The preset, or any valid Fibonacci hedge of up to four levels, armed soon enough for short paths."""
    rungs = sorted(draw(st.lists(of_two_places("0.05", "1"), min_size=1, max_size=4, unique=True)))
    longs = sorted(draw(st.lists(of_two_places("0", "0.99"), min_size=len(rungs), max_size=len(rungs), unique=True)))
    shorts = sorted(draw(st.lists(of_two_places("0", "1"), min_size=len(rungs), max_size=len(rungs))))
    levels = [
        {"at": at, "long": long, "short": short} for at, long, short in zip(rungs, longs[::-1], shorts, strict=True)
    ]
    stops = st.none() | of_two_places("0.01", "0.05")
    return draw(
        st.just(FIBONACCI.model_copy(update={"min_gain_units": 4}))
        | st.builds(
            lambda **fields: Fibonacci.model_validate({"name": "drawn", "levels": levels, **fields}),
            release=of_two_places("0", "0.04"),
            min_gain_units=st.integers(1, 8),
            short_trailing_stop=stops,
            long_trailing_stop=stops,
            reentry_units=st.integers(1, 4),
        )
    )


def strategies() -> st.SearchStrategy[Ladder | Fibonacci]:
    return st.one_of(ladders(), hedges())


@st.composite
def paths(draw: st.DrawFn, start: int = 1000, longest: int = 60) -> list[Decimal]:
    """Prices around `start`, for a unit of 1: trembling, exactly on the lines, and in gaps of several units."""
    tremble = st.integers(-60, 60)
    lines = st.integers(-3, 3).map(lambda whole: 100 * whole)
    gaps = st.integers(-900, 900)
    cents, prices = 100 * start, []
    for move in draw(st.lists(tremble | lines | gaps, min_size=1, max_size=longest)):
        cents += move
        prices.append(Decimal(cents) / 100)
    return prices


def refined(prices: list[Decimal], start: Decimal, parts: int) -> list[Decimal]:
    """The same path with `parts - 1` prices put evenly between every two."""
    finer, before = [], start
    for price in prices:
        finer += [before + (price - before) * part / parts for part in range(1, parts)] + [price]
        before = price
    return finer
