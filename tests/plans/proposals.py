"""What the tests of plans ask for: 100 USD at 10x from a price of 100 in units of 1, or the example of the hedge."""

from decimal import Decimal
from typing import Any

from strategy.checks import Proposal
from strategy.fibonacci import FIBONACCI
from strategy.ladder import V6

COSTS = {"fee_rate": Decimal("0.00045"), "slippage_bps": Decimal(1)}


def asked(**changes: Any) -> Proposal:
    given = {
        "coin": "ETH",
        "margin_usd": 100,
        "leverage": 10,
        "unit_size": 1,
        "ladder": V6,
        "price": 100,
        "max_leverage": 25,
        "maintenance_rate": "0.02",
        "min_notional_usd": 10,
        "lot": "0.01",
        "fee_rate": 0,
        "slippage_bps": 0,
    }
    return Proposal.model_validate(given | changes)


def hedged(**changes: Any) -> Proposal:
    """100 coins at 100, unit 0.5, closed at a drawdown of 23%."""
    given = {
        "ladder": FIBONACCI,
        "margin_usd": 10_000,
        "leverage": 1,
        "unit_size": "0.5",
        "limits": {"max_drawdown": "0.23"},
    }
    return asked(**given | changes)
