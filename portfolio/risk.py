"""What the account as a whole may risk: which limit is broken, and which warning is due."""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum

from pydantic import Field

from portfolio.curve import Curve
from portfolio.terms import PortfolioLimits
from strategy.values import ZERO, Value, exact, plain


class Exposure(Value):
    """What the account holds and has left, as the exchange shows it."""

    equity_usd: Decimal
    net_notional_usd: dict[str, Decimal] = Field(default_factory=dict)
    """By coin; shorts negative."""
    open_orders: int = 0
    requests_left: int | None = None
    """None where the exchange does not count them."""


class Consequence(StrEnum):
    STOP = "stop"
    """Everything is closed, and nothing begins before the trader releases it."""
    NO_NEW_RISK = "no_new_risk"
    """No trade is opened and none made larger; what is held goes on."""


class Breach(Value):
    limit: str
    """Field of PortfolioLimits."""
    consequence: Consequence
    text: str


@exact
def breaches(limits: PortfolioLimits, curve: Curve, exposure: Exposure) -> tuple[Breach, ...]:
    """Every limit that is broken now, the gravest first."""
    return tuple(sorted(_broken(limits, curve, exposure), key=lambda each: each.consequence is not Consequence.STOP))


def _broken(limits: PortfolioLimits, curve: Curve, exposure: Exposure) -> Iterator[Breach]:
    gross_usd = sum((abs(usd) for usd in exposure.net_notional_usd.values()), ZERO)
    net_usd = sum(exposure.net_notional_usd.values(), ZERO)
    if curve.drawdown >= limits.max_drawdown:
        yield Breach(
            limit="max_drawdown",
            consequence=Consequence.STOP,
            text=f"max_drawdown is {_percent(limits.max_drawdown)}; equity of {_short(curve.equity_usd)} USD is "
            f"{_percent(curve.drawdown)} below {_short(curve.high_water_usd)}",
        )
    # So that a rate is never asked of an account with nothing in it.
    if limits.max_leverage is not None and gross_usd > limits.max_leverage * max(exposure.equity_usd, ZERO):
        yield _held_back(
            "max_leverage",
            f"{_short(limits.max_leverage)}; {_short(gross_usd)} USD are held on {_short(exposure.equity_usd)}",
        )
    if limits.max_net_notional_usd is not None and abs(net_usd) > limits.max_net_notional_usd:
        yield _held_back(
            "max_net_notional_usd", f"{_short(limits.max_net_notional_usd)}; all coins together are {_short(net_usd)}"
        )
    if limits.max_open_orders is not None and exposure.open_orders > limits.max_open_orders:
        yield _held_back("max_open_orders", f"{limits.max_open_orders}; {exposure.open_orders} are open")
    left, least = exposure.requests_left, limits.min_requests_left
    if least is not None and left is not None and left < least:
        yield _held_back("min_requests_left", f"{least}; the exchange takes {left} more")


def warnings(limits: PortfolioLimits, before: Curve, now: Curve) -> tuple[str, ...]:
    """Of the levels of drawdown that were passed since the curve before; each is told once on the way down."""
    return tuple(
        f"drawdown is {_percent(now.drawdown)}, {_percent(share)} of the {_percent(limits.max_drawdown)} allowed"
        for share in limits.warn_at
        if before.drawdown < share * limits.max_drawdown <= now.drawdown < limits.max_drawdown
    )


def _held_back(limit: str, figures: str) -> Breach:
    return Breach(limit=limit, consequence=Consequence.NO_NEW_RISK, text=f"{limit} is {figures}")


def _percent(share: Decimal) -> str:
    return f"{plain(100 * share):.4g}%"


def _short(usd: Decimal) -> str:
    return f"{plain(usd):.8g}"
