"""The activities that move USDC to the spot side, buy there and read the ledger, run as Temporal runs them."""

from decimal import Decimal
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.failures import REFUSED
from activities.messages import LedgerQuestion, OrderRequest, SpotFacts, SpotQuestion, TransferQuestion, TransferRequest
from activities.trading import TradingActivities
from exchange.errors import RejectReason
from exchange.port import OutcomeStatus, Side
from exchange.spot_port import TransferStatus
from tests.exchange.conftest import Stage
from tests.exchange.spoiling import after, hang_up


@pytest.fixture
def trading(stage: Stage) -> TradingActivities:
    return TradingActivities(stage.gateway, stage.settings)


def own(stage: Stage) -> dict[str, Any]:
    return {"network": stage.settings.network, "account": stage.gateway.account}


async def move(stage: Stage, trading: TradingActivities, usd: str) -> None:
    """Made twice with one intent, as after a worker died before it could tell, and the first reply lost."""
    environment = ActivityEnvironment()
    question = TransferQuestion(**own(stage), usd=Decimal(usd), to_perp=False)
    intent = await environment.run(trading.saving.prepare_transfer, question)
    request = TransferRequest(network=stage.settings.network, intent=intent)
    stage.proxy.spoil("usdClassTransfer", after(hang_up))
    for _ in range(2):
        outcome = await environment.run(trading.saving.make_transfer, request)
        assert outcome.status is TransferStatus.DONE


async def look(stage: Stage, trading: TradingActivities, coin: str = "ETH") -> SpotFacts:
    facts: SpotFacts = await ActivityEnvironment().run(
        trading.saving.inspect_spot, SpotQuestion(**own(stage), coin=coin)
    )
    return facts


async def test_profit_becomes_coin_on_spot_once_and_the_ledger_says_so(
    stage: Stage, trading: TradingActivities
) -> None:
    await move(stage, trading, "50")
    facts = await look(stage, trading)
    assert (facts.usd.free, facts.owned.total, facts.may_transfer) == (50, 0, True)
    limit = facts.rules.limit_price(Side.BUY, Decimal(facts.slippage_bps))
    size = facts.rules.size_for(facts.usd.free, limit)
    intent = stage.intent(Side.BUY, str(size), str(limit), coin=facts.rules.coin, asset=facts.rules.asset)
    request = OrderRequest(network=stage.settings.network, intent=intent)
    for _ in range(2):
        outcome = await ActivityEnvironment().run(trading.execute_order, request)
        assert outcome.status is OutcomeStatus.FILLED
    assert (await look(stage, trading)).owned.total == outcome.received_size > 0
    question = LedgerQuestion(**own(stage), since_ms=0)
    found = await ActivityEnvironment().run(trading.saving.read_ledger, question)
    assert [(each.kind, each.usd, each.perp_usd) for each in found.updates] == [
        ("deposit", 10_000, 10_000),
        ("accountClassTransfer", 0, -50),
    ]


async def test_what_cannot_be_moved_is_an_outcome_and_what_cannot_be_asked_for_is_refused(
    stage: Stage, trading: TradingActivities
) -> None:
    question = TransferQuestion(**own(stage), usd=Decimal(20_000), to_perp=False)
    intent = await ActivityEnvironment().run(trading.saving.prepare_transfer, question)
    request = TransferRequest(network=stage.settings.network, intent=intent)
    outcome = await ActivityEnvironment().run(trading.saving.make_transfer, request)
    assert (outcome.status, outcome.reason) == (TransferStatus.NOT_DONE, RejectReason.MARGIN)
    for verb, asked in (
        (trading.saving.prepare_transfer, TransferQuestion(**own(stage), usd=Decimal(0), to_perp=False)),
        (trading.saving.inspect_spot, SpotQuestion(**own(stage), coin="DOGE")),
    ):
        with pytest.raises(ApplicationError) as refusal:
            await ActivityEnvironment().run(verb, asked)
        assert (refusal.value.type, refusal.value.non_retryable) == (REFUSED, True)


@pytest.mark.parametrize("terms", [{"account": "0x" + "09" * 20}, {"network": "mainnet"}])
async def test_work_of_another_account_or_network_is_left_alone(
    stage: Stage, trading: TradingActivities, terms: dict[str, str]
) -> None:
    for verb, asked in (
        (trading.saving.prepare_transfer, TransferQuestion(**own(stage) | terms, usd=Decimal(5), to_perp=False)),
        (trading.saving.inspect_spot, SpotQuestion(**own(stage) | terms, coin="ETH")),
        (trading.saving.read_ledger, LedgerQuestion(**own(stage) | terms, since_ms=0)),
    ):
        with pytest.raises(ApplicationError, match="this worker serves"):
            await ActivityEnvironment().run(verb, asked)
    assert stage.proxy.seen == []
