"""What is refused at the start: one line with the figures, and nothing on the exchange."""

from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from tests.workflows.conftest import Rig

REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"coin": "ETHH"}, "coin ETHH is not traded on paper: did you mean ETH"),
    ({"margin_usd": "1"}, "the exchange takes 10 or more: use at least"),
    ({"margin_usd": "0"}, "margin is 0; it must be more than 0 USD"),
    ({"margin_usd": "5000"}, "margin is 5000; the account has 1000 USD free"),
    ({"unit_size": "0"}, "unit size is 0; it must be more than 0 USD"),
    ({"unit_size": "700"}, "use less than 575 USD"),
    ({"unit_size": "20"}, "lies inside the ladder, which ends at 3330"),
    ({"leverage": 26}, "leverage is 26; ETH allows 1 to 25"),
    ({"accepts_costs": False}, "a round trip costs 3.795 USD per coin"),
    ({"network": "testnet"}, "the trade is for network testnet; this worker serves paper"),
)


@pytest.mark.parametrize(("asked", "why"), REFUSED, ids=[why[:30] for _, why in REFUSED])
async def test_a_trade_that_cannot_be_is_refused_with_its_figures(rig: Rig, asked: dict[str, Any], why: str) -> None:
    with pytest.raises(WorkflowFailureError) as failure:
        await rig.open(**asked)
    cause: BaseException | None = failure.value
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    assert why in str(cause)
    assert "\n" not in str(cause)
    assert await rig.net_position() == 0
    assert (await rig.read_control("ledger")).get(rig.gateway.account, {}).get("acceptedOrders", []) == []


async def test_a_coin_that_somebody_else_holds_is_refused(rig: Rig) -> None:
    await rig.gateway.place_market_order("ETH", "buy", Decimal("0.01"))
    with pytest.raises(WorkflowFailureError) as failure:
        await rig.open()
    assert "the account already holds 0.01 ETH" in str(failure.value.cause)
    assert await rig.net_position() == Decimal("0.01")
