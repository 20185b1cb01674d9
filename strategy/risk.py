"""What a trade may lose, however it trades. A breach ends it: it closes, and does not come back."""

from decimal import Decimal

from pydantic import Field, PositiveInt

from strategy.values import ZERO, Value, plain


class Limits(Value):
    """None: no such limit. Money in USD, drawdown as a share of the highest equity the trade has had."""

    max_drawdown: Decimal | None = Field(default=None, gt=0, le=1)
    max_loss_usd: Decimal | None = Field(default=None, gt=0, max_digits=40)
    stop_price: Decimal | None = Field(default=None, gt=0, max_digits=40)
    """A completed unit at or below it ends the trade."""
    take_profit: Decimal | None = Field(default=None, gt=0, max_digits=40)
    """As a share of the margin: no loss, but it ends the trade in the same way."""
    max_position_usd: Decimal | None = Field(default=None, gt=0, max_digits=40)
    """Notional: a trade above it is not opened, and a new cycle's position is cut to it."""
    max_leverage: PositiveInt | None = None
    max_orders_per_day: PositiveInt | None = None


def breach(
    limits: Limits,
    *,
    price: Decimal,
    margin_usd: Decimal,
    peak_usd: Decimal,
    equity_usd: Decimal,
    taken_usd: Decimal = ZERO,
) -> str | None:
    """The limit that is broken at a completed unit, with its figures; None while all hold. What was taken out was
    earned too."""
    lost_usd, from_peak_usd = margin_usd - equity_usd - taken_usd, peak_usd - equity_usd
    if limits.stop_price is not None and price <= limits.stop_price:
        return f"stop_price is {_short(limits.stop_price)}; the price is {_short(price)}"
    if limits.max_loss_usd is not None and lost_usd >= limits.max_loss_usd:
        return f"max_loss_usd is {_short(limits.max_loss_usd)}; {_short(lost_usd)} of the margin is lost"
    if limits.max_drawdown is not None and from_peak_usd >= limits.max_drawdown * peak_usd:
        share = from_peak_usd / peak_usd
        return (
            f"max_drawdown is {_percent(limits.max_drawdown)}; equity is {_short(equity_usd)}, "
            f"{_percent(share)} below its peak of {_short(peak_usd)}"
        )
    if limits.take_profit is not None and -lost_usd >= limits.take_profit * margin_usd:
        return f"take_profit is {_percent(limits.take_profit)} of the margin; {_short(-lost_usd)} USD is earned"
    return None


def _percent(share: Decimal) -> str:
    return f"{plain(100 * share):.4g}%"


def _short(usd: Decimal) -> str:
    return f"{plain(usd):.8g}"
