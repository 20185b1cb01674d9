"""Prices and sizes the exchange accepts. Pure, Decimal only.

A price has at most 5 significant figures and at most 6 - size_decimals decimals, on spot 8 - size_decimals; integers
are always allowed. A size has at most size_decimals decimals. Rounding never asks for more than was meant: sizes go
down, a buyer's limit goes down, a seller's goes up.
"""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal

from exchange.port import Side

SIGNIFICANT_FIGURES = 5
PRICE_DECIMALS = 6
SPOT_PRICE_DECIMALS = 8
BPS = Decimal(10_000)
_EXACT = Context(prec=80)
"""Room for any product or quantum here; the ambient context's 28 digits would round before we do."""


def round_size_down(size: Decimal, size_decimals: int) -> Decimal:
    """Toward zero to the lot, sign kept; 0 when it is less than one lot."""
    return size.quantize(Decimal(1).scaleb(-size_decimals), rounding=ROUND_DOWN, context=_EXACT)


def price_tick(price: Decimal, size_decimals: int, price_decimals: int = PRICE_DECIMALS) -> Decimal:
    """The distance between allowed prices at this one, USD; it grows tenfold with each power of ten."""
    exponent = max(price.adjusted() - SIGNIFICANT_FIGURES + 1, size_decimals - price_decimals)
    return Decimal(1).scaleb(min(exponent, 0))


def round_price(price: Decimal, size_decimals: int, side: Side, price_decimals: int = PRICE_DECIMALS) -> Decimal:
    """The nearest allowed price that is no worse for `side`. Raises ValueError when there is none above 0."""
    if not price.is_finite() or price <= 0:
        raise ValueError(f"price is {price}: a number above 0 is allowed")
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    tick = price_tick(price, size_decimals, price_decimals)
    rounded = price.quantize(tick, rounding=rounding, context=_EXACT)
    if rounded <= 0:
        raise ValueError(f"price is {price}: with {size_decimals} size decimals the lowest is {tick}")
    return rounded


def limit_price(
    reference_price: Decimal,
    side: Side,
    slippage_bps: Decimal,
    size_decimals: int,
    *,
    price_decimals: int = PRICE_DECIMALS,
) -> Decimal:
    """The worst price at which a market order decided at `reference_price` may fill."""
    if not 0 <= slippage_bps < BPS:
        raise ValueError(f"slippage_bps is {slippage_bps}: 0 or more and below {BPS} is allowed")
    away = slippage_bps if side is Side.BUY else -slippage_bps
    worst = _EXACT.multiply(reference_price, (BPS + away) / BPS)
    return round_price(worst, size_decimals, side, price_decimals)


def wire(number: Decimal) -> str:
    """As it is signed: plain digits, no trailing zeros; the exchange hashes this form and no other."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
