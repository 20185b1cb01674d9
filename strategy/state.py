"""All that a trade is: its terms, fixed at the start, and its state."""

from decimal import Decimal
from typing import assert_never

from pydantic import Field, PositiveInt

from strategy.fibonacci import Fibonacci, Hedge
from strategy.ladder import AtReset, Ladder
from strategy.ledger import Ledger, legs_between
from strategy.risk import Limits
from strategy.units import UnitGrid
from strategy.values import QUANTUM, ZERO, Execution, Leg, Phase, Value, exact, net_qty, plain, quantise


class Terms(Value):
    """What a trade was opened with. `lot` is the size step of its market; QUANTUM means none."""

    coin: str
    leverage: PositiveInt
    ladder: Ladder | Fibonacci
    """The strategy: a ladder of units, or of levels of the position's own gain."""
    at_reset: AtReset = AtReset.CAP
    """Of the unit ladder. A new fractal always begins with the allocation."""
    lot: Decimal = Field(default=QUANTUM, gt=0)
    min_notional_usd: Decimal = Field(default=ZERO, ge=0)
    """The exchange takes no order below it."""
    limits: Limits = Limits()


class Step(Value):
    """An executed step of the ladder, kept so that it can be undone; `height` units off the peak or the valley."""

    height: int
    legs: tuple[Leg, ...]


class Losses(Value):
    """USD that the Fibonacci hedge lost beyond its plan, since the trade began."""

    gap_usd: Decimal = ZERO
    """Legs traded beyond the line that caused them."""
    whipsaw_usd: Decimal = ZERO
    """Legs undone at a worse price than they were done at."""


class TradeState(Value):
    """Units count within the cycle: `base_unit + current_unit` is the grid's line. Quantities in coin, money in USD."""

    terms: Terms
    grid: UnitGrid
    phase: Phase = Phase.ADVANCE
    current_unit: int = 0
    peak_unit: int = 0
    valley_unit: int = 0
    base_unit: int = 0
    cycle: int = 1
    margin_usd: Decimal = ZERO
    """Given to the trade at its opening."""
    allocation: Decimal
    """The margin, with the profit or loss of the cycles that ended, without what was taken out."""
    taken_usd: Decimal = ZERO
    """Taken out by the trade's portfolio since the opening, net of what it added: neither lost nor won."""
    start_notional: Decimal
    """Notional of the book at the cycle's start."""
    ledger: Ledger
    """What fills have made of it."""
    wanted_long: Decimal
    wanted_short: Decimal
    """What the strategy wants held: differs from the ledger while an order is due."""
    fragment_qty: Decimal = ZERO
    fragment_usd: Decimal = ZERO
    """Locked at the peak."""
    hedge_qty: Decimal | None = None
    """Locked at the first unit up from a valley, until a new valley."""
    steps: tuple[Step, ...] = ()
    reset_due: bool = False
    """The cycle's last step is decided; RESET follows when its fills are booked."""
    resizing: bool = False
    """The order due adjusts the position to the allocation after a RESET."""
    hedge: Hedge | None = None
    """Of a trade of the Fibonacci hedge."""
    losses: Losses = Losses()
    equity_peak_usd: Decimal = ZERO
    """Of the trade's whole life, at completed units."""
    breach: str | None = None
    """The limit that ends the trade: from then on it only closes."""

    @property
    def line(self) -> int:
        return self.base_unit + self.current_unit

    @property
    def legs_due(self) -> tuple[Leg, ...]:
        """From what is held to what is wanted."""
        return legs_between(self.ledger, self.wanted_long, self.wanted_short)

    @property
    def net_due(self) -> Decimal:
        """The order this takes, in coin, buys positive."""
        return net_qty(self.legs_due)

    @property
    def fully_long(self) -> bool:
        at_its_high = self.hedge is None or self.current_unit == self.peak_unit
        return self.phase is Phase.ADVANCE and at_its_high and not (self.steps or self.reset_due or self.resizing)

    @exact
    def equity(self, price: Decimal) -> Decimal:
        """Margin equity in USD: the allocation and what the cycle made so far."""
        return plain(self.allocation + self.ledger.value(price) - self.start_notional)

    def changed(self, **changes: object) -> "TradeState":
        return self.model_copy(update=changes)

    def whole(self, long_qty: Decimal, entry_price: Decimal) -> "TradeState":
        """100% long of `long_qty`, bought at `entry_price`: what the strategy measures from is locked."""
        match self.terms.ladder:
            case Ladder():
                return self.with_fragments(long_qty)
            case Fibonacci():
                return self.changed(hedge=Hedge(entry_price=entry_price, full_qty=long_qty))
            case _:  # pragma: no cover
                assert_never(self.terms.ladder)

    def with_fragments(self, long_qty: Decimal) -> "TradeState":
        """Of the unit ladder: fragments locked at the current peak, of a long of `long_qty`."""
        assert isinstance(self.terms.ladder, Ladder)
        fragment_qty = quantise(self.terms.ladder.fragment * long_qty)
        line_price = self.grid.line_price(self.base_unit + self.peak_unit)
        return self.changed(fragment_qty=fragment_qty, fragment_usd=plain(fragment_qty * line_price))


@exact
def opened(terms: Terms, grid_size: Decimal, margin_usd: Decimal, execution: Execution, **grid: object) -> TradeState:
    """The state after the opening buy: 100% long, anchor at its average price, all units 0."""
    qty, price = execution.size, execution.average_price
    state = TradeState(
        terms=terms,
        grid=UnitGrid.model_validate({"anchor_price": price, "unit_size": grid_size, **grid}),
        margin_usd=margin_usd,
        allocation=margin_usd,
        start_notional=qty * price,
        ledger=Ledger(long_qty=qty).charged(execution.fee_usd),
        wanted_long=qty,
        wanted_short=ZERO,
        equity_peak_usd=margin_usd,
    )
    return state.whole(qty, price)
