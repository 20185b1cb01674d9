"""How far the portfolio is below its best, whatever was paid in or out: counted in units, as a fund does.

A deposit buys units at their value of that moment and a withdrawal sells some, so neither is a gain nor a loss; what a
unit is worth moves with trading, funding and fees alone.
"""

from decimal import Decimal

from strategy.values import ONE, ZERO, Value, exact, money

WORTHLESS_USD = Decimal("0.01")
"""Below it there is nothing to measure: the next deposit begins anew."""


class Curve(Value):
    units: Decimal = ZERO
    unit_usd: Decimal = ONE
    high_usd: Decimal = ONE
    """The most a unit has been worth since the beginning, or since the trader released a breach."""

    @property
    def equity_usd(self) -> Decimal:
        return self.units * self.unit_usd

    @property
    @exact
    def drawdown(self) -> Decimal:
        """0 at the best, 1 when all is lost."""
        return ONE - self.unit_usd / self.high_usd

    @property
    @exact
    def high_water_usd(self) -> Decimal:
        """What today's units were worth at their best."""
        return money(self.units * self.high_usd)


@exact
def seen(curve: Curve, equity_usd: Decimal, paid_in_usd: Decimal = ZERO) -> Curve:
    """After a look: equity now, and what was paid in since the last one (negative: paid out), which is part of it."""
    before_usd = max(equity_usd - paid_in_usd, ZERO)
    if curve.units * curve.high_usd < WORTHLESS_USD:
        return Curve(units=max(equity_usd, ZERO))
    unit_usd = before_usd / curve.units
    units = curve.units
    if unit_usd > 0:
        units = max(curve.units + paid_in_usd / unit_usd, ZERO)
    elif paid_in_usd > 0:
        return Curve(units=equity_usd)
    return Curve(units=units, unit_usd=unit_usd, high_usd=max(curve.high_usd, unit_usd))


def begun_anew(curve: Curve) -> Curve:
    """Measured from here, by the trader's word."""
    return curve.model_copy(update={"high_usd": curve.unit_usd}) if curve.unit_usd > 0 else curve
