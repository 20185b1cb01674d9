"""How large a plan's trade is. docs/plans.md has the formulas."""

from decimal import ROUND_DOWN, Decimal

from plans.plan import Size
from plans.worst import loss_per_usd
from strategy.checks import Proposal
from strategy.values import ZERO, exact, plain

CENT = Decimal("0.01")


@exact
def margin_for(size: Size, asked: Proposal, free_usd: Decimal) -> Decimal:
    """The margin in USD, reckoned ones in whole cents. `asked.margin_usd` is not looked at; `free_usd` is what the
    account has free. Raises ValueError, one line, when that is no margin.

    What is reckoned from a risk or a share keeps to `max_position_usd`; what is given as it is, is refused above it.
    """
    match size:
        case Size(margin_usd=Decimal() as margin_usd):
            return margin_usd
        case Size(notional_usd=Decimal() as notional_usd):
            return _in_cents(notional_usd / asked.leverage, f"size.notional_usd is {notional_usd:f}")
        case Size(risk_usd=Decimal() as risk_usd):
            return _in_cents(_within(_by_risk(risk_usd, asked), asked), f"size.risk_usd is {risk_usd:f}")
        case Size(portfolio_share=Decimal() as share):
            given = f"size.portfolio_share is {share:f}, of {plain(free_usd):f} USD free"
            return _in_cents(_within(share * free_usd, asked), given)
        case Size(portfolio=str() as name):
            # Nobody knows beforehand what it will grant: more than is free it can't.
            given = f"size.portfolio is {name}, and {plain(free_usd):f} USD are free"
            return _in_cents(_within(free_usd, asked), given)
        case _:  # pragma: no cover
            raise AssertionError("a size has exactly one of its fields")


def _by_risk(risk_usd: Decimal, asked: Proposal) -> Decimal:
    loss = loss_per_usd(asked)
    if loss <= 0:
        raise ValueError(f"size.risk_usd is {risk_usd:f}; the worst case loses nothing: give a margin instead")
    return risk_usd / loss


def _within(margin_usd: Decimal, asked: Proposal) -> Decimal:
    most_usd = asked.limits.max_position_usd
    return margin_usd if most_usd is None else min(margin_usd, most_usd / asked.leverage)


def _in_cents(margin_usd: Decimal, given: str) -> Decimal:
    cents = margin_usd.quantize(CENT, rounding=ROUND_DOWN)
    if cents <= ZERO:
        raise ValueError(f"{given}: that is a margin of 0 USD; at least one cent is needed")
    return plain(cents)
