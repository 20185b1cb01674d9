"""A position between trades, and what happens to it whoever holds it: funding, liquidation, the end of a day."""

from decimal import Decimal

from backtest.equity import EquityCurve
from backtest.margin import NEVER_ABOVE, NEVER_BELOW, liquidation, liquidation_prices
from backtest.ratios import sharpe
from backtest.setup import Setup
from backtest.summary import Hold, Liquidation
from backtest.trading import Fills, cut, opening_qty
from strategy.values import ZERO

Line = tuple[int, Decimal, Decimal]
"""From this price on (0-based, over the whole run) equity is offset + net quantity * price."""


class Book:
    """Equity is a straight line of the price for as long as nothing is traded or paid."""

    def __init__(self, setup: Setup, time_ms: int, *, keep_lines: bool = False) -> None:
        self.setup = setup
        self.offset, self.net_qty = setup.margin_usd, ZERO
        self.below, self.above = NEVER_BELOW, NEVER_ABOVE
        """The exchange takes the position at a price below the one or above the other."""
        self.curve = EquityCurve(setup.margin_usd, time_ms)
        self.days: list[Decimal] = []
        """Equity at the end of each day."""
        self.funding_usd = ZERO
        self.liquidated: Liquidation | None = None
        self.lines: list[Line] | None = [] if keep_lines else None

    def equity(self, price: Decimal) -> Decimal:
        return self.offset + self.net_qty * price

    def move(self, index: int, offset: Decimal, net_qty: Decimal) -> None:
        """The line from price `index` on."""
        self.offset, self.net_qty = offset, net_qty
        self.below, self.above = liquidation_prices(self.setup.tiers, offset, net_qty)
        if self.lines is not None:
            self.lines.append((index, offset, net_qty))

    def pay_funding(self, index: int, rate: Decimal, price: Decimal) -> None:
        """One hour's, at the last price before it."""
        paid_usd = -cut(-self.net_qty * price * rate, self.setup.money_step_usd)
        self.funding_usd += paid_usd
        self._charge(index, paid_usd)

    def _charge(self, index: int, paid_usd: Decimal) -> None:
        self.move(index, self.offset - paid_usd, self.net_qty)

    def close_day(self, price: Decimal) -> None:
        self.days.append(self.equity(price))

    def liquidate(self, index: int, time_ms: int, price: Decimal, fills: Fills) -> None:
        """The exchange takes the position; what is left is cash."""
        equity_usd, net_qty, setup = self.equity(price), self.net_qty, self.setup
        closing = fills.closing_costs(net_qty, price)
        happened = liquidation(setup.tiers, time_ms, price, equity_usd, net_qty, sum(closing, ZERO))
        if happened.method == "market":
            fills.fees_usd, fills.slippage_usd = fills.fees_usd + closing[0], fills.slippage_usd + closing[1]
        self.liquidated = happened
        self.move(index, happened.left_usd, ZERO)
        self.curve.see(happened.left_usd, time_ms)


class Holding(Book):
    """The opening order, kept to the end."""

    def __init__(self, setup: Setup, price: Decimal, time_ms: int, *, keep_lines: bool = False) -> None:
        """Raises CannotOpenError."""
        super().__init__(setup, time_ms, keep_lines=keep_lines)
        self.fills = Fills(setup)
        bought = self.fills.execute(opening_qty(setup, price), price)
        self.move(0, setup.margin_usd - bought.size * bought.average_price - bought.fee_usd, bought.size)
        self.curve.see(self.equity(price), time_ms)

    def summary(self, last_price: Decimal) -> Hold:
        equity_usd, margin_usd = self.equity(last_price), self.setup.margin_usd
        return Hold(
            leverage=self.setup.leverage,
            equity_usd=equity_usd,
            return_on_margin=equity_usd / margin_usd - 1,
            max_drawdown=self.curve.max_drawdown,
            sharpe=sharpe(margin_usd, [*self.days, equity_usd]),
            liquidated=self.liquidated,
        )
