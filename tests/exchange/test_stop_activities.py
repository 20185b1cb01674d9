"""The activities that place and cancel a stop, run as Temporal runs them."""

from decimal import Decimal

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.messages import CancelRequest, LookRequest, OrderRequest
from activities.trading import TradingActivities
from exchange.port import CancelStatus, Intent, OutcomeStatus, Side
from tests.exchange.conftest import Stage


@pytest.fixture
async def trading(stage: Stage) -> TradingActivities:
    """One ETH held, mark 3450."""
    await stage.gateway.place_market_order("ETH", "buy", 1)
    return TradingActivities(stage.gateway, stage.settings)


def stop_of(stage: Stage) -> Intent:
    return stage.intent(Side.SELL, "1", "3000", reduce_only=True, trigger_price=Decimal(3350))


def cancel_of(stage: Stage, intent: Intent, **terms: str) -> CancelRequest:
    fixed = {"network": stage.settings.network, "account": intent.account, "coin": "ETH", "cloid": intent.cloid}
    return CancelRequest.model_validate(fixed | {"since_ms": intent.nonce} | terms)


async def test_a_stop_is_placed_looked_at_and_cancelled(stage: Stage, trading: TradingActivities) -> None:
    intent, environment = stop_of(stage), ActivityEnvironment()
    request = OrderRequest(network=stage.settings.network, intent=intent)
    for _ in range(2):
        placed = await environment.run(trading.execute_order, request)
        assert placed.status is OutcomeStatus.RESTING
    look = LookRequest(network=stage.settings.network, account=intent.account, coin="ETH", since_ms=0)
    findings = await environment.run(trading.looking.look, look)
    (found,) = findings.resting
    assert (found.cloid, found.oid, found.trigger_price) == (intent.cloid, placed.oid, Decimal(3350))
    for _ in range(2):
        cancelled = await environment.run(trading.cancel_order, cancel_of(stage, intent))
        assert cancelled.status is CancelStatus.CANCELLED
    assert (await environment.run(trading.looking.look, look)).resting == ()


@pytest.mark.parametrize("terms", [{"account": "0x" + "09" * 20}, {"network": "mainnet"}])
async def test_a_stop_of_another_account_or_network_is_left_alone(
    stage: Stage, trading: TradingActivities, terms: dict[str, str]
) -> None:
    intent = stop_of(stage)
    await stage.gateway.execute(intent)
    with pytest.raises(ApplicationError, match=r"this worker serves"):
        await ActivityEnvironment().run(trading.cancel_order, cancel_of(stage, intent, **terms))
    assert len(await stage.gateway.open_stops("ETH")) == 1
    assert stage.sent("cancelByCloid") == []
