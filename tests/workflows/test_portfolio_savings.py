"""Profit becomes coin on the exchange's spot side, once, whatever gets lost; counted on the exchange's own books."""

import asyncio
import logging
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hyperliquid.exchange import Exchange as SdkExchange
from temporalio.client import Client

from activities import watching
from cli.doctor import examine
from exchange.gateway import HyperliquidGateway
from exchange.network import KEY_VARIABLE, load_key
from exchange.port import Side
from exchange.signing import PrivateKey
from journal.entries import Entry, OutcomeRecord, SavedRecord, TransferRecord
from settings import Settings
from tests.workflows.conftest import Rig, rig_of
from tests.workflows.played import TERMS, played_portfolio
from workflows.portfolio import purchases
from workflows.portfolio.record import Latch

D = Decimal
ON_SPOT = {"ETH": D(1)}
"""Left over by a former purchase: with it 10 USD are above the exchange's minimum for one order."""


@pytest.fixture(autouse=True)
def _sharp_eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    for pace in ("LOOKS_EVERY_S", "GLANCES_EVERY_S", "REPORTS_EVERY_S"):
        monkeypatch.setattr(watching, pace, 0.5)


async def by_hand(gateway: HyperliquidGateway, usd: str, *, to_perp: bool = False) -> None:
    spot = gateway.spot
    await spot.transfer(await spot.prepare_transfer(D(usd), to_perp=to_perp))


@pytest.fixture
async def saver(rig: Rig) -> Rig:
    """With 1 USD on the spot side."""
    await by_hand(rig.gateway, "1")
    return rig


async def moves(rig: Rig) -> list[Decimal]:
    """What came to the margin and what left it, as the exchange has it; the first is the deposit."""
    return [each.perp_usd or D(0) for each in (await rig.gateway.spot.ledger_updates(since_ms=0))[1:]]


async def on_spot(rig: Rig) -> dict[str, Any]:
    ledger = await rig.read_control("ledger")
    found: dict[str, Any] = ledger[rig.gateway.account]["spot"]
    return found


async def journal(rig: Rig, portfolio: str) -> list[Entry]:
    """Up to the first savings that were bought."""
    async with asyncio.timeout(10):
        while True:
            entries = [line.entry for line in await rig.journal.history(portfolio)]
            if any(isinstance(each, SavedRecord) for each in entries):
                return entries
            await asyncio.sleep(0.03)


def fault(kind: str, action: str, nth: int) -> dict[str, Any]:
    return {"kind": kind, "match": {"action": action, "nth": nth}}


async def test_profit_is_shared_out_and_its_savings_are_bought_once_whatever_gets_lost(saver: Rig) -> None:
    for action in ("usdClassTransfer", "order"):
        await saver.control("faults", **fault("drop_request", action, 1))
        await saver.control("faults", **fault("drop_reply", action, 2))
    async with played_portfolio(saver.client, spot_usd=ON_SPOT) as portfolio:
        assert portfolio.margin_usd == D("399.6"), "40% of what is on the perpetuals side"
        granted = await portfolio.earn(50)
        assert granted.margin_usd == D("399.6") + 25
        await portfolio.until(lambda now: now.saved)
        entries = await journal(saver, portfolio.handle.id)
        status = await portfolio.until(lambda now: now.looked_ms > now.saved[0].at_ms)
    assert await moves(saver) == [-1, -10]
    spot = await on_spot(saver)
    assert [each["sz"] for each in spot["fills"]] == ["0.0031"]
    assert spot["balances"] == {"USDC": "0.30469", "UETH": "0.00309783"}
    assert (status.book.reserve_usd, status.book.owed, status.spot_usd) == (15, {}, {"ETH": D("0.30469")})
    (saved,) = status.saved
    assert (saved.coin, saved.size, saved.price, saved.usd) == ("ETH", D("0.00309783"), D("3450.1"), D("10.69531"))
    assert [(each.trade, each.cycle, each.usd) for each in saved.of] == [(portfolio.trade.id, 1, 10)]
    assert status.savings_trouble is None and status.due == () and status.purchase is None
    assert status.book.capital_usd == 999 + 50 - 10, "the watch knows the transfer for our own"
    assert [each.status for each in entries if isinstance(each, TransferRecord)] == ["done"]
    assert [each.status for each in entries if isinstance(each, OutcomeRecord)] == ["not_executed", "filled"]


async def test_what_is_below_the_exchanges_minimum_waits_for_more(rig: Rig) -> None:
    async with played_portfolio(rig.client) as portfolio:
        await portfolio.earn(25)
        await portfolio.earn(20)
        waiting = await portfolio.until(lambda now: now.book.owed_usd == 9)
        assert waiting.savings_trouble is None and await moves(rig) == []
        assert len(await rig.read_control("requests?type=spotMetaAndAssetCtxs")) == 1, "it knows by now what is needed"
        await portfolio.earn(20)
        status = await portfolio.until(lambda now: now.saved)
    assert await moves(rig) == [-13]
    assert [(each.cycle, each.usd) for each in status.saved[0].of] == [(1, 5), (2, 4), (3, 4)]


async def test_what_can_not_be_bought_is_owed_again_and_not_tried_for_a_day(
    saver: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hypertrader.notice")
    monkeypatch.setattr(purchases, "PAUSE", timedelta(milliseconds=10))
    await saver.control("depth", coin="@151", levels=0)
    async with played_portfolio(saver.client, spot_usd=ON_SPOT) as portfolio:
        await portfolio.earn(50)
        status = await portfolio.until(lambda now: now.savings_trouble)
        assert "could not immediately match" in (status.savings_trouble or "")
        assert "10 USD are back with the margin and owed" in (status.savings_trouble or "")
        assert (status.book.owed, status.spot_usd) == ({"ETH": 10}, ON_SPOT)
        await portfolio.earn(50)
        status = await portfolio.until(lambda now: now.book.owed_usd == 20)
        assert status.purchase is None and await moves(saver) == [-1, -10, 10]

        await saver.control("depth", coin="@151", levels=20)
        await portfolio.handle.signal("apply", {"terms": TERMS.model_dump(mode="json") | {"band": "0.06"}})
        status = await portfolio.until(lambda now: now.saved)
        assert await moves(saver) == [-1, -10, 10, -20]
        assert [(each.cycle, each.usd) for each in status.saved[0].of] == [(1, 10), (2, 10)]
        assert status.savings_trouble is None
    told = [each.getMessage() for each in caplog.records if "savings wait" in each.getMessage()]
    assert len(told) == 1
    assert [each["sz"] for each in (await on_spot(saver))["fills"]] == ["0.006"]


async def test_what_somebody_else_has_spent_is_told_and_not_bought_with(rig: Rig) -> None:
    async with played_portfolio(rig.client, spot_usd={"ETH": D(30)}) as portfolio:
        status = await portfolio.until(lambda now: now.savings_trouble)
    assert status.savings_trouble == "30 USD are to buy ETH; the spot side has 0 USD free"
    assert (await on_spot(rig))["fills"] == [] and await moves(rig) == []


async def test_a_coin_without_a_pair_is_told_before_anything_moves(rig: Rig) -> None:
    async with played_portfolio(rig.client, terms=TERMS.model_copy(update={"savings_coin": "DOGE"})) as portfolio:
        await portfolio.earn(100)
        status = await portfolio.until(lambda now: now.savings_trouble)
    assert (status.savings_trouble or "").startswith("20 USD are to become DOGE, which can't be bought: ")
    assert await moves(rig) == []


async def test_what_the_margin_has_not_free_waits_until_it_has(
    temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purchases, "MARGIN_AGAIN_MS", 200)
    account = load_key(Settings(state_dir=tmp_path)).address
    async with rig_of(temporal, tmp_path, funded={account: D(15)}) as rig:
        async with played_portfolio(rig.client) as portfolio:
            await portfolio.earn(100)
            status = await portfolio.until(lambda now: now.savings_trouble)
            assert status.savings_trouble == "20 USD are to become ETH; the margin has 15 USD free"
            assert await moves(rig) == []
            await rig.control("fund", address=account, usd="100")
            await portfolio.until(lambda now: now.saved)
        assert await moves(rig) == [100, -20]


async def test_a_transfer_that_is_refused_leaves_it_owed_and_is_made_again(
    saver: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purchases, "TRANSFER_AGAIN_MS", 1_500)
    await saver.gateway.set_leverage("ETH", 25, nonce=saver.gateway.draw_nonce())
    held = {"kind": "delay", "seconds": 1, "match": {"action": "usdClassTransfer"}}
    await saver.control("faults", **held)
    async with played_portfolio(saver.client, spot_usd=ON_SPOT) as portfolio:
        await portfolio.earn(50)
        await portfolio.until(lambda now: now.purchase and now.purchase.transfer)
        # The margin is needed before the transfer arrives.
        await saver.gateway.place_market_order("ETH", Side.BUY, D("7.15"))
        status = await portfolio.until(lambda now: now.savings_trouble)
        assert "10 USD for ETH did not move to the spot side: Insufficient balance" in (status.savings_trouble or "")
        assert status.book.owed == {"ETH": 10} and [each.usd for each in status.due] == [10]
        await saver.gateway.close_position("ETH")
        await portfolio.until(lambda now: now.saved)
    assert await moves(saver) == [-1, -10]


async def test_no_purchase_begins_while_everything_is_stopped(saver: Rig) -> None:
    latch = Latch(since_ms=1, reason="a test")
    async with played_portfolio(saver.client, spot_usd=ON_SPOT, latch=latch) as portfolio:
        await portfolio.earn(50)
        status = await portfolio.until(lambda now: now.latch and now.latch.proof)
        assert (status.book.owed, status.purchase) == ({"ETH": 10}, None)
        assert await moves(saver) == [-1]
        await portfolio.handle.execute_update("release", {"reason": "looked"})
        await portfolio.until(lambda now: now.saved)
    assert await moves(saver) == [-1, -10]


async def test_a_key_that_may_not_move_money_buys_what_a_hand_has_moved(
    temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = Account.from_key("0x" + "7a" * 32)
    address = master.address.lower()
    async with rig_of(temporal, tmp_path, funded={address: D(1000)}) as rig:
        await rig.stop_worker()
        own = rig.gateway
        _, agent_key = await asyncio.to_thread(lambda: SdkExchange(master, rig.simulator.url).approve_agent())
        masters = HyperliquidGateway.connect(rig.settings, key=PrivateKey(master.key.hex()))
        rig.settings = rig.settings.model_copy(update={"account": address})
        rig.gateway = HyperliquidGateway.connect(rig.settings, key=PrivateKey(agent_key))
        await rig.start_worker()
        monkeypatch.setenv(KEY_VARIABLE, agent_key)
        (found,) = await examine(rig.settings, ["savings"])
        assert found.ok and found.text.startswith("this key may not move money")
        try:
            async with played_portfolio(rig.client) as portfolio:
                await portfolio.earn(100)
                status = await portfolio.until(lambda now: now.savings_trouble)
                assert (status.savings_trouble or "").startswith(
                    "the key may not move money: 20 USD are owed to ETH; move them by hand (perp -> spot)"
                )
                await by_hand(masters, "15")
                status = await portfolio.until(lambda now: now.saved and not now.savings_trouble)
                assert (status.book.owed, [each.usd for each in status.saved[0].of]) == ({"ETH": 5}, [15])
                await by_hand(masters, "8")
                status = await portfolio.until(lambda now: not now.book.owed)
                # 3 of the 8 USD were no saving.
                assert status.book.capital_usd == 1100 - 15 - 8
            assert await moves(rig) == [-15, -8]
            assert [each["sz"] for each in (await on_spot(rig))["fills"]] == ["0.0043"]
        finally:
            await masters.close()
            await own.close()
