"""A portfolio that can't be meant is refused in words that name the field, the value and what is allowed."""

from typing import Any

import pytest
from pydantic import ValidationError

from portfolio.terms import PortfolioTerms

HALF = {"ETH": "0.4", "BTC": "0.2", "SOL": "0.2"}


def test_shares_and_the_reserve_may_be_the_whole() -> None:
    terms = PortfolioTerms.model_validate({"shares": HALF})
    assert terms.reserve_share + sum(terms.shares.values()) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"shares": {**HALF, "DOGE": "0.01"}}, r"the shares are 0\.81 together and reserve_share is 0\.2"),
        ({"shares": {}}, r"shares\n.*at least 1 item"),
        ({"shares": {f"C{n}": "0.01" for n in range(21)}}, r"shares\n.*at most 20"),
        ({"shares": {"ETH": "0"}}, r"shares\.ETH\n.*greater than 0"),
        ({"shares": {"ETH": "0.5"}, "limits": {"max_coin_share": "0.4"}}, r"shares\.ETH is 0\.5.*allows 0\.4"),
        ({"shares": HALF, "split": {"trade": "0.5"}, "reserve": 1}, r"reserve\n.*not permitted"),
        ({"shares": HALF, "split": {"trade": "0.6", "reserve": "0.3", "savings": "0.2"}}, r"is 1\.1; together"),
        ({"shares": HALF, "limits": {"warn_at": ["0.8", "0.5"]}}, r"warn_at is 0\.8, 0\.5; rising"),
        ({"shares": HALF, "limits": {"warn_at": ["0.5", "1"]}}, r"warn_at is 0\.5, 1; .* below 1"),
    ],
)
def test_what_can_not_be_meant_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){words}"):
        PortfolioTerms.model_validate(given)
