"""Rebalancing by a Temporal Schedule, on the real server: it is triggered, not waited for."""

import time
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from activities.messages import TradeSummary, UnitsMoved
from cli import portfolio_schedule, portfolios
from cli.errors import BadOption
from portfolio.terms import PortfolioTerms
from strategy.values import Tick
from tests.feed.harness import until_async
from tests.workflows.conftest import Rig
from workflows.contracts import Mode
from workflows.portfolio.scheduled import schedule_id
from workflows.status import TradeStatus

D = Decimal
COINS = {"ETH": (D(3000), D(30)), "SOL": (D(200), D(2))}
"""Price and unit at the beginning."""
BAND = D("0.05")
TERMS = PortfolioTerms.model_validate({"shares": {"ETH": "0.4", "SOL": "0.4"}, "reserve_share": "0.2", "band": BAND})
WEEKS = (("ETH", 10), ("SOL", 20), ("ETH", 35), ("SOL", 60))
"""A coin rises to so many units above its anchor, and all is long still; at 3x that is far beyond the band."""


@pytest.fixture
async def scheduled(rig: Rig) -> AsyncIterator[Rig]:
    """A portfolio of two coins, each with its trade, rebalanced every week."""
    for coin, (price, _) in COINS.items():
        await rig.market(price, coin)
    await portfolios.begin(rig.client, "main", TERMS, rig.settings)
    await portfolio_schedule.keep(rig.client, "main", "paper", portfolio_schedule.calendar("weekly", "mon 06:00"))
    yield rig
    await portfolio_schedule.drop(rig.client, "main")


class Pair:
    """The trades of both coins."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.ids: dict[str, str] = {}
        self.ticks = 0

    async def open(self) -> None:
        for coin, (_, unit_size) in COINS.items():
            await self.rig.open(coin=coin, portfolio="main", margin_usd=None, unit_size=unit_size, leverage=3)
            await self.rig.until(lambda status: status.mode is Mode.TRADING)
            self.ids[coin] = self.rig.trade.id

    async def summaries(self) -> dict[str, TradeSummary]:
        found = await portfolios.summaries(self.rig.client, list(self.ids.values()))
        return {each.coin: each for each in found.values()}

    async def rises(self, coin: str, units: int) -> None:
        price, unit_size = COINS[coin]
        price += unit_size * units
        await self.rig.market(price, coin)
        self.ticks += 1
        moved = UnitsMoved(ticks=(Tick(price=price, time_ms=int(time.time() * 1000)),), tid=self.ticks)
        await self.rig.client.get_workflow_handle(self.ids[coin]).signal("units_moved", moved)
        await until_async(lambda: self.has_seen(coin, price))

    async def has_seen(self, coin: str, price: Decimal) -> bool:
        return (await self.summaries())[coin].price == price

    async def week(self) -> set[str]:
        """The Schedule strikes. The coins that were resized, once all is at rest."""
        had = {coin: each.allocation_usd for coin, each in (await self.summaries()).items()}
        before = await portfolios.status(self.rig.client, "main")
        await self.rig.client.get_schedule_handle(schedule_id("main")).trigger()
        await until_async(lambda: self.at_rest(before.rebalanced_ms), timeout_s=30)
        return {coin for coin, each in (await self.summaries()).items() if each.allocation_usd != had[coin]}

    async def at_rest(self, since_ms: int) -> bool:
        seen = await portfolios.status(self.rig.client, "main")
        if seen.rebalanced_ms <= since_ms or seen.waiting:
            return False
        statuses = [await self.status(trade) for trade in self.ids.values()]
        return not any(each.open_ask or each.order_in_flight or each.order_due for each in statuses)

    async def status(self, trade: str) -> TradeStatus:
        self.rig.trade = self.rig.client.get_workflow_handle(trade)
        return await self.rig.status()

    async def off_usd(self) -> dict[str, Decimal]:
        """How far each coin is from its share of what the exchange says the account is worth."""
        equity_usd = (await self.rig.gateway.account_value()).equity_usd
        return {coin: each.equity_usd - D("0.4") * equity_usd for coin, each in (await self.summaries()).items()}


async def test_a_weekly_schedule_brings_the_coins_back_within_the_band_in_each_of_four_weeks(scheduled: Rig) -> None:
    pair = Pair(scheduled)
    await pair.open()
    for coin, units in WEEKS:
        await pair.rises(coin, units)
        equity_usd = (await scheduled.gateway.account_value()).equity_usd
        off = {each for each, usd in (await pair.off_usd()).items() if abs(usd) > BAND * equity_usd}
        assert off
        assert await pair.week() == off
        assert max(abs(usd) for usd in (await pair.off_usd()).values()) < BAND * equity_usd
    # A fifth week, in which no price has moved: nobody is asked.
    assert await pair.week() == set()
    assert await portfolio_schedule.next_time(scheduled.client, "main") is not None


async def test_a_schedule_is_changed_and_dropped(scheduled: Rig) -> None:
    client = scheduled.client
    await portfolio_schedule.keep(client, "main", "paper", portfolio_schedule.calendar("daily", "07:30"))
    due = await portfolio_schedule.next_time(client, "main")
    assert due is not None and (due.hour, due.minute) == (7, 30)
    assert await portfolio_schedule.drop(client, "main")
    assert not await portfolio_schedule.drop(client, "main")
    assert await portfolio_schedule.next_time(client, "main") is None


@pytest.mark.parametrize(
    ("every", "at"), [("weekly", "06:00"), ("weekly", "someday 06:00"), ("daily", "mon 06:00"), ("daily", "25:00")]
)
def test_a_time_that_is_none_is_refused(every: str, at: str) -> None:
    with pytest.raises(BadOption, match=f"--at is {at}; .* of UTC is allowed for {every}"):
        portfolio_schedule.calendar(every, at)
