"""Real trades with a real portfolio: what they get, what becomes of their profit, how they are resized and left."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from portfolio.terms import PortfolioTerms
from strategy.ladder import V7
from tests.workflows.conftest import rig_of
from tests.workflows.test_portfolio import Floor, floor_of
from workflows.contracts import Mode

D = Decimal
PRICES = {"ETH": D(3450), "BTC": D(85000), "SOL": D(180)}
UNITS = {"ETH": D(35), "BTC": D(850), "SOL": D(2)}
TERMS = PortfolioTerms(shares={"ETH": D("0.4"), "BTC": D("0.2"), "SOL": D("0.2")}, band=D(0), savings_coin="ETH")


class Account:
    """A portfolio and its trades, by coin."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.rig = floor.rig
        self.trades: dict[str, WorkflowHandle[Any, Any]] = {}
        self.anchors: dict[str, Decimal] = {}

    async def open(self, coin: str) -> Decimal:
        """v7 begins a new cycle whenever a retracement is undone: two prices make one."""
        asked = {
            "coin": coin,
            "margin_usd": None,
            "portfolio": self.floor.name,
            "unit_size": UNITS[coin],
            "leverage": 3,
        }
        await self.rig.open(**asked, ladder=V7.model_dump(mode="json"))
        status = await self.rig.until(lambda now: now.mode is Mode.TRADING)
        assert status.anchor_price is not None
        self.trades[coin], self.anchors[coin] = self.rig.trade, status.anchor_price
        return status.margin_usd

    async def cycle(self, coin: str, cycle: int) -> None:
        """Two units up, one down, and up again: RESET there."""
        self.rig.trade = self.trades[coin]
        for line in (2, 1, 2):
            price = self.anchors[coin] + line * UNITS[coin]
            await self.rig.market(price, coin)
            await self.rig.tell(price)
        await self.rig.until(
            lambda now: (
                now.mode is Mode.CLOSED
                or (now.cycle == cycle and not (now.open_ask or now.order_in_flight or now.order_due))
            )
        )


@pytest.fixture
async def account(temporal: Client, tmp_path: Path) -> AsyncIterator[Account]:
    async with rig_of(temporal, tmp_path, prices=PRICES) as rig, floor_of(rig, TERMS) as floor:
        yield Account(floor)


async def test_three_trades_get_exactly_their_margins_and_a_profit_goes_three_ways(account: Account) -> None:
    assert [await account.open(coin) for coin in PRICES] == [400, 200, 200]
    before = (await account.floor.status()).book
    await account.cycle("ETH", 2)
    status = await account.floor.until(lambda now: now.book.capital_usd != 1000)
    book, trade = status.book, account.trades["ETH"].id
    profit_usd = book.capital_usd - before.capital_usd
    assert profit_usd > 10
    parts = (book.allocations[trade].margin_usd - 400, book.reserve_usd, book.owed_usd)
    assert [round(part, 2) for part in parts] == [
        round(profit_usd * share, 2) for share in (D("0.5"), D("0.3"), D("0.2"))
    ]
    seen = await account.rig.status()
    assert seen.ledger is not None and abs(seen.ledger.allocation - book.allocations[trade].margin_usd) < D("0.01")


async def test_a_second_trade_on_a_coin_gets_what_the_first_left_of_its_share_and_both_shrink_alike(
    account: Account,
) -> None:
    assert await account.open("ETH") == 400
    with pytest.raises(WorkflowFailureError) as nothing_left:
        await account.open("ETH")
    assert "its share is 0 USD" in str(nothing_left.value.cause)
    more = TERMS.model_copy(update={"shares": {"ETH": D("0.6"), "BTC": D("0.1"), "SOL": D("0.1")}})
    await account.floor.portfolio.execute_update("apply", {"terms": more.model_dump(mode="json")})
    assert await account.open("ETH") == 200
    half = TERMS.model_copy(update={"shares": {"ETH": D("0.3"), "BTC": D("0.1"), "SOL": D("0.1")}})
    await account.floor.portfolio.execute_update("apply", {"terms": half.model_dump(mode="json")})
    await account.floor.portfolio.execute_update("rebalance", {})
    status = await account.floor.until(lambda now: now.rebalanced_ms > 0 and not now.waiting)
    sizes = sorted(each.margin_usd for each in status.book.allocations.values())
    # Opening them has cost each a little, and the whole as well.
    assert sizes == pytest.approx([100, 200], abs=1)
    await account.floor.portfolio.execute_update("exit", {"coin": "ETH", "now": True})
    await account.floor.until(lambda now: "ETH" in now.left)
    assert await account.rig.net_position() == 0


async def test_rebalanced_trades_have_their_shares_and_who_left_has_nothing(account: Account) -> None:
    for coin in PRICES:
        await account.open(coin)
    await account.floor.portfolio.execute_update(
        "apply", {"terms": {**TERMS.model_dump(mode="json"), "shares": {"ETH": "0.2", "BTC": "0.4", "SOL": "0.2"}}}
    )
    await account.floor.portfolio.execute_update("rebalance", {})
    status = await account.floor.until(
        lambda now: (
            now.rebalanced_ms > 0
            and not now.waiting
            and now.book.allocations[account.trades["BTC"].id].margin_usd > 390
        )
    )
    shares = [round(status.book.allocations[account.trades[coin].id].margin_usd) for coin in PRICES]
    assert shares == pytest.approx([200, 400, 200], abs=1)

    await account.floor.portfolio.execute_update("exit", {"coin": "BTC", "now": True})
    await account.floor.portfolio.execute_update("exit", {"coin": "SOL"})
    await account.floor.until(lambda now: "BTC" in now.left)
    assert await account.rig.net_position("BTC") == 0
    # SOL is left at its RESET, and not before.
    assert "SOL" in (await account.floor.status()).leaving and await account.rig.net_position("SOL") > 0
    await account.cycle("SOL", 2)
    await account.floor.until(lambda now: "SOL" in now.left)
    assert await account.rig.net_position("SOL") == 0
    assert [each.coin for each in (await account.floor.status()).book.allocations.values()] == ["ETH"]
