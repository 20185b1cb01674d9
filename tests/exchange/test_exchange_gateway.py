import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web
from eth_account import Account
from hyperliquid.exchange import Exchange as SdkExchange

from exchange import account
from exchange.errors import NotSent, Rejected, Unknown
from exchange.gateway import HyperliquidGateway
from exchange.port import Exchange, OpenOrder, OutcomeStatus, Position, Side
from exchange.signing import PrivateKey
from settings import Settings
from simulator.config import Depth
from tests.exchange.conftest import Stage, StartStage, control
from tests.exchange.spoiling import SPOILT, Forward, after, answer


@asynccontextmanager
async def gateway_of(settings: Settings, key: PrivateKey) -> AsyncIterator[HyperliquidGateway]:
    gateway = HyperliquidGateway.connect(settings, key=key)
    try:
        yield gateway
    finally:
        await gateway.close()


def test_gateway_has_all_that_the_port_asks_for(stage: Stage) -> None:
    port: Exchange = stage.gateway  # mypy compares the signatures
    methods = [name for name in vars(Exchange) if not name.startswith("_")]
    assert len(methods) >= 9 and all(callable(getattr(port, name)) for name in methods)


async def test_case_3_gateway_buy_shows_long_sell_shows_short_close_is_flat(stage: Stage) -> None:
    gateway = stage.gateway
    await gateway.set_leverage("ETH", 10, nonce=gateway.draw_nonce())
    bought = await gateway.place_market_order("ETH/USDC:USDC", "buy", 0.01)
    assert (bought.status, bought.filled_size) == (OutcomeStatus.FILLED, Decimal("0.01"))
    assert bought.average_price == Decimal("3450.1")
    long = await gateway.get_position("ETH/USDC:USDC")
    assert long == Position(
        coin="ETH",
        size=Decimal("0.01"),
        entry_price=Decimal("3450.1"),
        mark_price=Decimal("3450"),
        unrealized_pnl_usd=Decimal("-0.001"),
        leverage=10,
        margin_used_usd=Decimal("3.45"),
        liquidation_price=None,
    )
    assert repr(long) == (
        "Position(coin='ETH', size=Decimal('0.01'), entry_price=Decimal('3450.1'), mark_price=Decimal('3450'),"
        " unrealized_pnl_usd=Decimal('-0.001'), leverage=10, margin_used_usd=Decimal('3.45'), liquidation_price=None)"
    )

    assert await gateway.close_position("ETH") is not None
    assert await gateway.get_position("ETH") == Position(coin="ETH", size=Decimal(0))

    sold = await gateway.place_market_order("ETH/USDC:USDC", "sell", 0.01)
    short = await gateway.get_position("ETH")
    assert sold.filled_size == short.size == Decimal("-0.01")
    assert short.entry_price == Decimal("3449.9")

    closed = await gateway.close_position("ETH/USDC:USDC")
    assert closed is not None and closed.filled_size == Decimal("0.01")
    assert (await gateway.get_position("ETH")).size == 0
    assert await gateway.close_position("ETH") is None

    requests = stage.sent("order")
    assert len(requests) == len(stage.accepted()) == 4
    assert [body["action"]["orders"][0]["r"] for body in requests] == [False, True, False, True]


async def test_nothing_is_sent_unasked(stage: Stage) -> None:
    gateway = stage.gateway
    await gateway.check_account_mode()
    await gateway.set_leverage("ETH", 7, nonce=gateway.draw_nonce())
    await gateway.place_market_order("ETH", "buy", "0.02")
    await gateway.close_position("ETH")
    await gateway.execute(stage.intent(expires_after_ms=1))
    actions = [body["action"] for body in stage.proxy.seen if "action" in body]
    assert [action["type"] for action in actions] == ["updateLeverage", "order", "order", "noop"]
    assert all("builder" not in action for action in actions)
    entries = [entry.type for entry in stage.sim.request_log.entries if entry.path == "/exchange"]
    assert entries == ["updateLeverage", "order", "order", "noop"]


async def test_market_rules_are_those_the_exchange_lists(stage: Stage) -> None:
    rules = await stage.gateway.market_rules("ETH/USDC:USDC")
    assert (rules.coin, rules.asset, rules.size_decimals, rules.max_leverage) == ("ETH", 1, 4, 25)
    assert rules.mark_price == rules.mid_price == 3450
    assert rules.lot == Decimal("0.0001")
    assert (rules.taker_fee_rate, rules.maker_fee_rate) == (Decimal("0.00045"), Decimal("0.00015"))
    assert [tier.max_leverage for tier in rules.tiers] == [25, 15]
    assert rules.maintenance_rate == Decimal("0.02")


@pytest.mark.parametrize("name", ["ETH", "eth", "ETH/USDC:USDC"])
async def test_symbol_and_coin_name_the_same_market(stage: Stage, name: str) -> None:
    assert await stage.gateway.coin_of(name) == "ETH"


@pytest.mark.parametrize("name", ["ETHH", "ETHH/USDC:USDC"])
async def test_unknown_coin_is_named_with_the_nearest(stage: Stage, name: str) -> None:
    with pytest.raises(Rejected, match=rf"coin {name} is not traded on paper: did you mean .*ETH"):
        await stage.gateway.place_market_order(name, "buy", 1)
    assert stage.sent("order") == []


async def test_coin_that_resembles_none_is_told_how_many_there_are(stage: Stage) -> None:
    with pytest.raises(Rejected, match=r"coin 12345 is not traded on paper: \d+ perpetuals are"):
        await stage.gateway.market_rules("12345")


@pytest.mark.parametrize(
    ("side", "size", "text"),
    [
        ("hold", "0.01", "side is 'hold': buy or sell is allowed"),
        ("buy", "0.00009", "size is 0.00009 ETH: 0.0001 or more is allowed"),
        ("buy", "-1", "size is -1 ETH"),
        ("sell", "much", "size is 'much': a number of coins"),
        ("sell", "nan", "size is 'nan': a number of coins"),
        ("buy", "0.0028", r"worth \$9\.71: the exchange takes \$10 or more"),
    ],
)
async def test_order_that_cannot_be_is_refused_before_it_is_sent(stage: Stage, side: str, size: str, text: str) -> None:
    with pytest.raises(Rejected, match=text):
        await stage.gateway.place_market_order("ETH", side, size)
    assert stage.sent("order") == []


async def test_size_is_rounded_down_to_the_lot(stage: Stage) -> None:
    outcome = await stage.gateway.place_market_order("ETH", Side.BUY, Decimal("0.0100999"))
    assert outcome.filled_size == Decimal("0.01")


async def test_partial_fill_is_reported_as_what_it_is(stage_of: StartStage) -> None:
    stage = await stage_of(usd="100000", depth=Depth(levels=1, size_usd=Decimal(3450)))
    outcome = await stage.gateway.place_market_order("ETH", "buy", 5)
    position = await stage.gateway.get_position("ETH")
    assert outcome.status is OutcomeStatus.FILLED
    assert 0 < outcome.filled_size < 5
    assert outcome.filled_size == position.size


async def test_balance_is_the_perpetuals_account(stage: Stage) -> None:
    before = await stage.gateway.get_balance("USDC")
    assert before.total == before.free == 10_000 and before.used == 0
    outcome = await stage.gateway.place_market_order("ETH", "buy", 1)
    held = await stage.gateway.get_balance("usdc")
    position = await stage.gateway.get_position("ETH")
    assert held.total == 10_000 - outcome.fee_usd + position.unrealized_pnl_usd
    assert held.used == position.margin_used_usd and held.free == held.total - held.used
    with pytest.raises(Rejected, match="coin EUR has no spot pair against USDC"):
        await stage.gateway.get_balance("EUR")


async def test_leverage_is_set_once_and_read_back_flat_or_not(stage: Stage) -> None:
    gateway = stage.gateway
    for _ in range(2):
        await gateway.set_leverage("ETH", 9, nonce=gateway.draw_nonce())
    assert await gateway.leverage("ETH") == 9
    assert len(stage.sent("updateLeverage")) == 1
    with pytest.raises(Rejected, match="leverage is 26: 1 to 25 is allowed for ETH"):
        await gateway.set_leverage("ETH", 26, nonce=gateway.draw_nonce())


@pytest.mark.parametrize("spoilt", ["hang up", "500", "200 html"])
async def test_leverage_whose_reply_was_lost_can_be_set_again_with_its_nonce(stage: Stage, spoilt: str) -> None:
    nonce = stage.gateway.draw_nonce()
    stage.proxy.spoil("updateLeverage", after(SPOILT[spoilt]))
    with pytest.raises(Unknown):
        await stage.gateway.set_leverage("ETH", 9, nonce=nonce)
    await stage.gateway.set_leverage("ETH", 9, nonce=nonce)
    assert await stage.gateway.leverage("ETH") == 9
    assert len(stage.sent("updateLeverage")) == 1


async def test_leverage_whose_nonce_was_spent_on_something_else_is_set_with_another(stage: Stage) -> None:
    intent = stage.intent()
    await stage.gateway.fence(intent)
    await stage.gateway.set_leverage("ETH", 9, nonce=intent.nonce)
    assert await stage.gateway.leverage("ETH") == 9


@pytest.mark.parametrize("mode", ["unifiedAccount", "portfolioMargin", "somethingNew"])
async def test_account_modes_we_cannot_read_are_refused(stage: Stage, mode: str) -> None:
    stage.proxy.spoil("userAbstraction", answer(200, f'"{mode}"'))
    with pytest.raises(Rejected, match=f"is in mode '{mode}': only default and disabled are supported"):
        await stage.gateway.check_account_mode()
    await stage.gateway.check_account_mode()


async def test_api_wallet_trades_for_the_master_that_approved_it_and_for_no_other(
    stage: Stage,
) -> None:
    master = Account.from_key("0x" + "7a" * 32)
    account = master.address.lower()
    settings = stage.settings.model_copy(update={"account": account})
    async with gateway_of(settings, stage.key) as stranger:
        with pytest.raises(Rejected, match=f"account {account} .* is not {stage.key.address}'s"):
            await stranger.check_account_mode()

    await control(stage.sim, "fund", address=account, usd="500")
    approved, agent_key = await asyncio.to_thread(lambda: SdkExchange(master, stage.sim.url).approve_agent())
    assert approved["status"] == "ok"
    async with gateway_of(settings, PrivateKey(agent_key)) as agent:
        await agent.check_account_mode()
        outcome = await agent.place_market_order("ETH", "buy", "0.01")
        assert outcome.filled_size == (await agent.get_position("ETH")).size == Decimal("0.01")
        (order,) = stage.accepted()
        assert (order.user, order.signer) == (account, agent.signer)


async def test_key_that_nobody_approved_is_refused(stage: Stage) -> None:
    settings = stage.settings.model_copy(update={"account": stage.key.address})
    async with gateway_of(settings, PrivateKey("0x" + "5b" * 32)) as gateway:
        with pytest.raises(Rejected, match="has role missing: it must be approved as API wallet"):
            await gateway.check_account_mode()


async def test_sub_account_is_named_in_every_request(stage: Stage) -> None:
    opened = await control(stage.sim, "sub_account", master=stage.gateway.signer, name="hedge")
    sub = opened["address"]
    await control(stage.sim, "fund", address=sub, usd="500")
    async with gateway_of(stage.settings.model_copy(update={"account": sub}), stage.key) as gateway:
        outcome = await gateway.place_market_order("ETH", "buy", "0.01")
        await gateway.set_leverage("ETH", 5, nonce=gateway.draw_nonce())
        assert outcome.filled_size == (await gateway.get_position("ETH")).size == Decimal("0.01")
        assert await gateway.leverage("ETH") == 5
    assert (await stage.gateway.get_position("ETH")).size == 0
    assert [body["vaultAddress"] for body in stage.sent("order") + stage.sent("updateLeverage")] == [sub, sub]


async def test_open_orders_and_clock_skew_are_read(stage: Stage) -> None:
    assert await stage.gateway.open_orders() == ()
    assert await stage.gateway.open_orders("ETH") == ()
    assert abs(await stage.gateway.clock_skew_ms()) < 1_000


async def test_fills_are_paged_without_loss_or_repetition(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        await stage.gateway.place_market_order("ETH", "buy", "0.01")

    async def oldest_two(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
        rows = sorted(json.loads(await forward()), key=lambda row: (row["time"], row["tid"]))
        return web.json_response(rows[:2])

    monkeypatch.setattr(account, "FILLS_PER_ANSWER", 2)
    stage.proxy.spoil("userFillsByTime", *[oldest_two] * 20)
    everything = await stage.gateway.fills(since_ms=0)
    assert len(everything) == 5 and sum(fill.size for fill in everything) == Decimal("0.05")
    assert [fill.tid for fill in everything] == sorted({fill.tid for fill in everything})
    asked = everything[1]
    assert await stage.gateway.fills(since_ms=0, cloid=asked.cloid) == (asked,)
    assert await stage.gateway.fills(since_ms=everything[-1].time_ms + 1) == ()


async def test_no_connection_is_said_in_one_line(stage: Stage) -> None:
    settings = stage.settings.model_copy(update={"exchange_url": "http://127.0.0.1:9"})
    async with gateway_of(settings, stage.key) as gateway:
        with pytest.raises(NotSent, match="no connection to the exchange"):
            await gateway.get_position("ETH")


async def test_an_order_of_the_spot_side_is_refused_by_its_coin_and_nothing_is_sent(stage: Stage) -> None:
    order = OpenOrder(coin="@107", oid=7, cloid=None, side=Side.BUY, size=Decimal(1), limit_price=Decimal("0.2"))
    with pytest.raises(Rejected, match="coin @107 is no perpetual on paper"):
        await stage.gateway.cancel_orders([order])
    assert stage.sent("cancel") == []
