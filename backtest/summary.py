"""What a backtest came to, in figures."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import PlainSerializer

from backtest.journal import as_text
from strategy.values import Phase, Value

Number = Annotated[Decimal, PlainSerializer(as_text, return_type=str, when_used="json")]


class Liquidation(Value):
    """The exchange took the position: equity was below the maintenance margin at this price."""

    ts: int
    price: Number
    equity_usd: Number
    """Just before."""
    maintenance_usd: Number
    method: Literal["market", "backstop"]
    """Sold on the book, or taken over with all that was left because equity was below two thirds of maintenance."""
    left_usd: Number


class Hold(Value):
    """The opening order kept to the end: what not trading would have made of the same margin."""

    leverage: int
    equity_usd: Number
    return_on_margin: Number
    max_drawdown: Number
    sharpe: float | None
    liquidated: Liquidation | None


class DayFigures(Value):
    """Of daily returns, UTC days."""

    volatility: float
    """Annualised by sqrt(365)."""
    best: float
    worst: float
    won: int
    lost: int


class CycleFigures(Value):
    """Of finished cycles, after their fees and funding."""

    mean_usd: Number
    """What one more cycle could be expected to make: the expectancy."""
    best_usd: Number
    worst_usd: Number
    profit_factor: float | None
    """What the winning ones made by what the losing ones lost; None when none lost."""
    mean_ms: int
    longest_ms: int


class Summary(Value):
    """Money in USD, shares of 1, times in ms UTC; as JSON decimals are strings, ratios numbers."""

    coin: str
    ladder: str
    leverage: int
    unit_size: Number
    margin_usd: Number
    equity_usd: Number
    """At the last price; what was left, after a liquidation."""
    pnl_usd: Number
    """Net: after fees, funding and slippage."""
    return_on_margin: Number
    max_drawdown_usd: Number
    max_drawdown: Number
    """Largest fall of equity from its peak so far, as a share of that peak; more than 1 when nothing is liquidated."""
    drawdown_from_ts: int
    """When the peak of the largest fall (by share) was, and its bottom; both the entry when equity never fell."""
    drawdown_to_ts: int
    lowest_equity_usd: Number
    highest_equity_usd: Number
    growth_a_year: float | None
    """Of equity, compounded (CAGR); None for less than a month, or when all was lost."""
    calmar: float | None
    """Return on margin a year, not compounded, by maximum drawdown; None without one."""
    liquidated: Liquidation | None
    breach: str | None
    """The limit that closed the trade, with its figures; the run ends there."""
    sharpe: float | None
    """Of daily returns, annualised by sqrt(365), no risk-free rate; None with fewer than two days or nothing moving."""
    sortino: float | None
    per_day: DayFigures | None
    """None with fewer than two days."""
    hold: Hold
    """Buy-and-hold at the same leverage, over the same prices."""
    hold_1x: Hold
    cycles: int
    """Begun, the running one included."""
    resets: int
    win_rate: float | None
    """Share of finished cycles that made money; None when none finished."""
    per_cycle: CycleFigures | None
    """None when none finished."""
    orders: int
    """The opening one included."""
    last_order_ts: int
    """Long before `last_ts` when what is left no longer makes an order."""
    orders_beyond_margin: int
    """Orders that left more notional than equity * leverage: the exchange takes them only with other money behind."""
    fees_usd: Number
    funding_usd: Number
    """Paid; negative when received."""
    funding_hours_missing: int
    """Hours that the file of rates doesn't have: they cost nothing."""
    slippage_usd: Number
    gap_loss_usd: Number
    """What the Fibonacci hedge lost to legs traded beyond their lines, and to legs undone at a worse price."""
    whipsaw_loss_usd: Number
    phase: Phase
    unit: int
    phase_ms: dict[Phase, int]
    phase_ticks: dict[Phase, int]
    """Prices after which the trade was in the phase."""
    exposure: float
    """Share of the time in which a net position was held."""
    rows: int
    prices: int
    """Four to a candle, one to a tick."""
    first_ts: int
    last_ts: int
    journal_lines: int
    decisions_sha256: str

    @property
    def holds(self) -> tuple[Hold, ...]:
        """At the trade's leverage and at 1x, which may be the same but for a lot."""
        return (self.hold_1x,) if self.leverage == 1 else (self.hold, self.hold_1x)
