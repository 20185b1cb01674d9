"""What a backtest came to."""

from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer

from backtest.journal import as_text
from strategy.values import ZERO, Phase, Value

Number = Annotated[Decimal, PlainSerializer(as_text, return_type=str, when_used="json")]


class Summary(Value):
    """Money in USD, shares of 1, times in ms UTC; as JSON decimals are strings."""

    coin: str
    ladder: str
    leverage: int
    margin_usd: Number
    equity_usd: Number
    """At the last price."""
    pnl_usd: Number
    return_on_margin: Number
    max_drawdown_usd: Number
    max_drawdown: Number
    """Largest fall of equity from its peak so far, as a share of that peak; can exceed 1, nothing is liquidated."""
    lowest_equity_usd: Number
    cycles: int
    """Begun, the running one included."""
    resets: int
    orders: int
    """The opening one included."""
    fees_usd: Number
    slippage_usd: Number
    phase: Phase
    unit: int
    phase_ms: dict[Phase, int]
    phase_ticks: dict[Phase, int]
    """Rows after which the trade was in the phase."""
    rows: int
    first_ts: int
    last_ts: int
    journal_lines: int
    decisions_sha256: str


class EquityCurve:
    """Peak, trough and drawdowns of equity, fed with every tick's value."""

    def __init__(self, start_usd: Decimal) -> None:
        self.peak_usd = self.lowest_usd = start_usd
        self.max_drawdown_usd = self.max_drawdown = ZERO
        self._deeper_below = start_usd

    def see(self, equity_usd: Decimal) -> None:
        """Equity at one more tick. Nearly all lie between the peak and the deepest fall and change nothing."""
        if equity_usd > self.peak_usd:
            self.peak_usd = equity_usd
            self._watch()
        elif equity_usd < self._deeper_below:
            fall_usd = self.peak_usd - equity_usd
            self.max_drawdown_usd = max(self.max_drawdown_usd, fall_usd)
            self.max_drawdown = max(self.max_drawdown, fall_usd / self.peak_usd)
            self.lowest_usd = min(self.lowest_usd, equity_usd)
            self._watch()

    def _watch(self) -> None:
        # A fall is news when it is deeper in dollars or in share of the peak, whichever comes first. A new lowest
        # equity is always both: the peak has not fallen since the lowest before it.
        self._deeper_below = max(self.peak_usd - self.max_drawdown_usd, self.peak_usd * (1 - self.max_drawdown))
