"""The unmodified official SDK and ccxt run the same scenario and must see the same state."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ccxt.async_support as ccxt
import pytest
from eth_account import Account as Key
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.types import Cloid

from simulator.server import Simulator

SYMBOL = "ETH/USDC:USDC"
KEY = "0x" + "11" * 32
AGENT = "0x" + "22" * 32
CLOID = "0x" + "ab" * 16
BUILDER = "0x6530512a6c89c7cfcebc3ba7fcd9ada5f30827a6"


class Quiet(ccxt.hyperliquid):  # type: ignore[misc]
    async def initialize_client(self) -> bool:
        return True


def ccxt_options(sim: Simulator, key: str, address: str) -> dict[str, Any]:
    return {
        "walletAddress": address,
        "privateKey": key,
        "enableRateLimit": False,
        "urls": {"api": {"public": sim.url, "private": sim.url}},
        "options": {"sandboxMode": True},
    }


@pytest.fixture
async def quiet(client: Any) -> AsyncIterator[Any]:
    options = ccxt_options(client.sim, KEY, client.key.address)
    options["options"] |= {"enableUnifiedMargin": False, "fetchMarkets": {"types": ["swap"]}}
    exchange = Quiet(options)
    exchange.has["fetchCurrencies"] = False
    yield exchange
    await exchange.close()


@pytest.fixture
async def plain(client: Any) -> AsyncIterator[Any]:
    exchange = ccxt.hyperliquid(ccxt_options(client.sim, KEY, client.key.address))
    yield exchange
    await exchange.close()


def sdk(sim: Simulator, key: str = KEY, address: str | None = None, vault: str | None = None) -> Exchange:
    """To be made and used in a thread: the SDK blocks, and asks the simulator already when it is made."""
    return Exchange(Key.from_key(key), sim.url, account_address=address, vault_address=vault, timeout=5)


async def run_with_ccxt(exchange: Any) -> None:
    await exchange.set_leverage(5, SYMBOL)
    await exchange.create_order(SYMBOL, "market", "buy", 1.5, 3450, {"clientOrderId": CLOID})
    await exchange.create_order(SYMBOL, "market", "sell", 0.5, 3450, {"reduceOnly": True})
    resting = await exchange.create_order(SYMBOL, "limit", "buy", 0.2, 3400)
    await exchange.create_order(SYMBOL, "limit", "buy", 0.3, 3390)
    await exchange.cancel_order(resting["id"], SYMBOL)
    await exchange.create_order(SYMBOL, "market", "sell", 2, 3450)


def run_with_sdk(exchange: Exchange) -> None:
    exchange.update_leverage(5, "ETH")
    ioc, gtc = {"limit": {"tif": "Ioc"}}, {"limit": {"tif": "Gtc"}}
    exchange.order("ETH", True, 1.5, 3622.5, ioc, cloid=Cloid.from_str(CLOID))
    exchange.order("ETH", False, 0.5, 3277.5, ioc, reduce_only=True)
    resting = exchange.order("ETH", True, 0.2, 3400, gtc)
    exchange.order("ETH", True, 0.3, 3390, gtc)
    exchange.cancel("ETH", resting["response"]["data"]["statuses"][0]["resting"]["oid"])
    exchange.order("ETH", False, 2, 3277.5, ioc)


def without_times_and_ids(value: Any) -> Any:
    ignored = {"time", "timestamp", "statusTimestamp", "oid", "tid", "hash"}
    if isinstance(value, dict):
        return {key: without_times_and_ids(each) for key, each in value.items() if key not in ignored}
    return [without_times_and_ids(each) for each in value] if isinstance(value, list) else value


async def seen(client: Any) -> Any:
    asked = ["clearinghouseState", "openOrders", "frontendOpenOrders", "historicalOrders", "userFills"]
    found = {kind: await client.info(kind, user=client.address) for kind in asked}
    return without_times_and_ids(found)


async def test_same_scenario_same_state(connect: Any, quiet: Any, client: Any) -> None:
    await run_with_ccxt(quiet)
    by_ccxt = await seen(client)
    other = await connect()
    await asyncio.to_thread(lambda: run_with_sdk(sdk(other.sim)))
    by_sdk = await seen(other)
    assert by_ccxt == by_sdk
    assert by_sdk["clearinghouseState"]["assetPositions"][0]["position"]["szi"] == "-1.0"
    assert len(by_sdk["historicalOrders"]) == 5
    assert [order["limitPx"] for order in by_sdk["openOrders"]] == ["3390.0"]


async def test_both_read_the_same_numbers(quiet: Any, client: Any) -> None:
    await run_with_ccxt(quiet)
    info = await asyncio.to_thread(Info, client.sim.url, True, timeout=5)
    state = await asyncio.to_thread(info.user_state, client.key.address)
    (position,) = await quiet.fetch_positions([SYMBOL])
    held = state["assetPositions"][0]["position"]
    assert (position["side"], position["contracts"]) == ("short", 1.0)
    assert position["entryPrice"] == float(held["entryPx"])
    assert position["unrealizedPnl"] == float(held["unrealizedPnl"])
    assert position["leverage"] == held["leverage"]["value"] == 5
    balance = await quiet.fetch_balance()
    assert balance["USDC"]["total"] == float(state["marginSummary"]["accountValue"])
    trades = await quiet.fetch_my_trades(SYMBOL)
    fills = await asyncio.to_thread(info.user_fills, client.key.address)
    assert {(t["id"], t["price"], t["amount"], t["fee"]["cost"]) for t in trades} == {
        (str(f["tid"]), float(f["px"]), float(f["sz"]), float(f["fee"])) for f in fills
    }
    order = await quiet.fetch_order(CLOID, SYMBOL)
    raw = await asyncio.to_thread(info.query_order_by_cloid, client.key.address, Cloid.from_str(CLOID))
    assert (order["status"], order["id"]) == ("closed", str(raw["order"]["order"]["oid"]))
    assert (
        len(await quiet.fetch_open_orders(SYMBOL))
        == len(await asyncio.to_thread(info.open_orders, client.address))
        == 1
    )


def stop_with_sdk(exchange: Exchange) -> None:
    exchange.order("ETH", True, 1.5, 3622.5, {"limit": {"tif": "Ioc"}})
    kinds: list[Any] = [
        {"trigger": {"triggerPx": price, "isMarket": True, "tpsl": kind}}
        for price, kind in ((3300, "sl"), (3200, "sl"), (3600, "tp"))
    ]
    exchange.order("ETH", False, 1.5, 2970, kinds[0], reduce_only=True, cloid=Cloid.from_str(CLOID))
    second = exchange.order("ETH", False, 0.5, 2880, kinds[1], reduce_only=True)
    exchange.order("ETH", False, 1, 3420, kinds[2], reduce_only=True)
    exchange.cancel("ETH", second["response"]["data"]["statuses"][0]["resting"]["oid"])


async def stop_with_ccxt(exchange: Any) -> None:
    await exchange.create_order(SYMBOL, "market", "buy", 1.5, 3450)
    stop = {"stopLossPrice": 3300, "slippage": "0.1", "reduceOnly": True, "clientOrderId": CLOID}
    placed = await exchange.create_order(SYMBOL, "market", "sell", 1.5, 3300, stop)
    second = {"stopLossPrice": 3200, "slippage": "0.1", "reduceOnly": True}
    second_id = (await exchange.create_order(SYMBOL, "market", "sell", 0.5, 3200, second))["id"]
    profit = {"takeProfitPrice": 3600, "slippage": "0.05", "reduceOnly": True}
    await exchange.create_order(SYMBOL, "market", "sell", 1, 3600, profit)
    await exchange.cancel_order(second_id, SYMBOL)
    shown = {order["clientOrderId"]: order for order in await exchange.fetch_open_orders(SYMBOL)}[CLOID]
    assert (shown["id"], shown["stopLossPrice"], shown["amount"], shown["reduceOnly"]) == (
        placed["id"],
        3300.0,
        1.5,
        True,
    )


async def test_both_place_the_same_stops_and_see_them_fire(connect: Any, quiet: Any, client: Any) -> None:
    await stop_with_ccxt(quiet)
    other = await connect()
    await asyncio.to_thread(lambda: stop_with_sdk(sdk(other.sim)))
    waiting = await seen(client)
    assert waiting == await seen(other)
    assert [order["triggerPx"] for order in waiting["frontendOpenOrders"]] == ["3600.0", "3300.0"]
    for each in (client, other):
        await each.price("3290")
    assert await seen(client) == await seen(other)
    assert (await quiet.fetch_order(CLOID, SYMBOL))["status"] == "closed"
    trade = (await quiet.fetch_my_trades(SYMBOL))[-1]
    assert (trade["side"], trade["amount"], trade["info"]["cloid"]) == ("sell", 1.5, CLOID)
    assert await quiet.fetch_positions([SYMBOL]) == await quiet.fetch_open_orders(SYMBOL) == []


async def test_quiet_ccxt_loads_markets_with_one_request(quiet: Any, client: Any) -> None:
    markets = await quiet.load_markets()
    assert [entry["type"] for entry in await client.seen("requests")] == ["metaAndAssetCtxs"]
    eth = markets[SYMBOL]
    assert (eth["id"], eth["precision"]["amount"], eth["precision"]["price"]) == ("1", 0.0001, 0.1)
    assert (eth["limits"]["leverage"]["max"], eth["limits"]["cost"]["min"]) == (25, 10.0)
    assert markets["LUNA/USDC:USDC"]["active"] is False


async def test_default_ccxt_approves_its_builder_and_pays_it(plain: Any, client: Any) -> None:
    await plain.create_order(SYMBOL, "market", "buy", 1, 3450)
    requests = await client.seen("requests", path="/exchange")
    assert [entry["type"] for entry in requests] == ["approveBuilderFee", "setReferrer", "order"]
    assert {entry["verdict"] for entry in requests} == {"ok"}
    assert requests[-1]["body"]["action"]["builder"] == {"b": BUILDER, "f": 10}
    (fill,) = await client.info("userFills", user=client.address)
    assert (fill["fee"], fill["builderFee"]) == ("1.897555", "0.34501")
    assert await client.info("maxBuilderFee", user=client.address, builder=BUILDER) == 10


async def test_default_ccxt_with_an_agent_asks_before_every_order(client: Any) -> None:
    agent = Key.from_key(AGENT)
    await asyncio.to_thread(approve_agent, client.sim, agent.address)
    exchange = ccxt.hyperliquid(ccxt_options(client.sim, AGENT, client.key.address))
    try:
        await exchange.create_order(SYMBOL, "market", "buy", 1, 3450)
        await exchange.create_order(SYMBOL, "market", "buy", 1, 3450)
    finally:
        await exchange.close()
    refused = await client.seen("requests", type="approveBuilderFee", verdict="err")
    assert len(refused) >= 2
    text = f"Must deposit before performing actions. User: {agent.address.lower()}"
    assert {entry["answer"]["response"] for entry in refused} == {text}
    orders = await client.seen("requests", type="order", verdict="ok")
    assert {entry["signer"] for entry in orders} == {agent.address.lower()}
    assert str(await client.size()) == "2.0"


def approve_agent(sim: Simulator, address: str) -> None:
    """The SDK draws the agent's key itself, so the action is built by hand and signed by its code."""
    from hyperliquid.utils.signing import get_timestamp_ms, sign_agent

    exchange = sdk(sim)
    nonce = get_timestamp_ms()
    action = {"type": "approveAgent", "agentAddress": address, "agentName": "desk", "nonce": nonce}
    signature = sign_agent(exchange.wallet, action, False)
    answer = exchange._post_action(action, signature, nonce)
    assert answer["status"] == "ok", answer


async def test_sdk_agent_orders_for_its_master(client: Any) -> None:
    def run() -> Any:
        master = sdk(client.sim)
        answer, agent_key = master.approve_agent("desk")
        assert answer["status"] == "ok"
        agent = sdk(client.sim, agent_key, master.wallet.address)
        return agent.market_open("ETH", True, 0.5), agent.wallet.address

    opened, agent_address = await asyncio.to_thread(run)
    assert opened["response"]["data"]["statuses"][0]["filled"]["totalSz"] == "0.5"
    assert str(await client.size()) == "0.5"
    role = await client.info("userRole", user=agent_address)
    assert role == {"role": "agent", "data": {"user": client.address}}
    (agent,) = await client.info("extraAgents", user=client.address)
    assert (agent["name"], agent["address"]) == ("desk", agent_address.lower())


async def test_sdk_market_open_and_close_expiry_and_cancel_by_cloid(client: Any) -> None:
    def run() -> tuple[Any, ...]:
        exchange = sdk(client.sim)
        opened = exchange.market_open("ETH", True, 0.5)
        closed = exchange.market_close("ETH")
        flat = exchange.market_close("ETH")
        resting = exchange.order("ETH", True, 0.5, 3400, {"limit": {"tif": "Gtc"}}, cloid=Cloid.from_str(CLOID))
        canceled = exchange.cancel_by_cloid("ETH", Cloid.from_str(CLOID))
        exchange.set_expires_after(1)
        expired = exchange.market_open("ETH", True, 0.5)
        exchange.set_expires_after(None)
        return opened, closed, flat, resting, canceled, expired, exchange.schedule_cancel(None)

    opened, closed, flat, resting, canceled, expired, scheduled = await asyncio.to_thread(run)
    assert "filled" in str(opened) and "filled" in str(closed) and flat is None
    assert resting["response"]["data"]["statuses"][0]["resting"]["cloid"] == CLOID
    assert canceled["response"]["data"]["statuses"] == ["success"]
    assert expired == {"status": "err", "response": "Action already expired"}
    assert scheduled["response"].startswith("Cannot set scheduled cancel time until enough volume traded.")


async def test_transfer_between_spot_and_perpetuals_by_both(client: Any, quiet: Any) -> None:
    assert (await asyncio.to_thread(lambda: sdk(client.sim).usd_class_transfer(100, False)))["status"] == "ok"
    assert (await client.state())["withdrawable"] == "9900.0"
    await quiet.load_markets()
    await quiet.transfer("USDC", 40, "spot", "swap")
    assert (await client.state())["withdrawable"] == "9940.0"
    spot = await client.info("spotClearinghouseState", user=client.address)
    assert spot["balances"][0]["total"] == "60.0"


def save_with_sdk(exchange: Exchange) -> None:
    ioc, gtc = {"limit": {"tif": "Ioc"}}, {"limit": {"tif": "Gtc"}}
    exchange.usd_class_transfer(1000, False)
    exchange.order("UETH/USDC", True, 0.1, 3484.5, ioc, cloid=Cloid.from_str(CLOID))
    exchange.order("@151", False, 0.05, 3415.5, ioc)
    resting = exchange.order("HYPE/USDC", True, 1, 30, gtc)
    exchange.order("UETH/USDC", True, 0.01, 3400, gtc)
    exchange.cancel("@107", resting["response"]["data"]["statuses"][0]["resting"]["oid"])


async def save_with_ccxt(exchange: Any) -> None:
    slippage = {"slippage": "0.01"}
    await exchange.transfer("USDC", 1000, "swap", "spot")
    await exchange.create_order("ETH/USDC", "market", "buy", 0.1, 3450, slippage | {"clientOrderId": CLOID})
    await exchange.create_order("ETH/USDC", "market", "sell", 0.05, 3450, slippage)
    resting = await exchange.create_order("HYPE/USDC", "limit", "buy", 1, 30)
    await exchange.create_order("ETH/USDC", "limit", "buy", 0.01, 3400)
    await exchange.cancel_order(resting["id"], "HYPE/USDC")


async def test_both_buy_and_sell_on_spot_and_see_the_same(connect: Any, quiet: Any, client: Any) -> None:
    quiet.options["fetchMarkets"] = {"types": ["spot"]}
    await save_with_ccxt(quiet)
    other = await connect()
    await asyncio.to_thread(lambda: save_with_sdk(sdk(other.sim)))
    state = [await each.info("spotClearinghouseState", user=each.address) for each in (client, other)]
    assert state[0] == state[1]
    assert await seen(client) == await seen(other)
    balance = await quiet.fetch_balance({"type": "spot"})
    held = {each["coin"]: each for each in state[0]["balances"]}
    assert balance["USDC"]["used"] == float(held["USDC"]["hold"]) == 34.0
    assert balance["ETH"]["total"] == float(held["UETH"]["total"]) == 0.04993
    assert (await quiet.fetch_order(CLOID, "ETH/USDC"))["status"] == "closed"
    trade = (await quiet.fetch_my_trades("ETH/USDC"))[0]
    assert (trade["side"], trade["amount"], trade["fee"]) == ("buy", 0.1, {"cost": 7e-05, "currency": "UETH"})
    with pytest.raises(ccxt.InsufficientFunds):
        await quiet.create_order("ETH/USDC", "limit", "buy", 1, 3400)


async def test_order_for_a_sub_account_moves_the_sub_account(client: Any, quiet: Any) -> None:
    sub = (await client.control("sub_account", master=client.address, name="hedge"))["address"]
    transfer = {"type": "subAccountTransfer", "subAccountUser": sub, "isDeposit": True, "usd": 1_000_000_000}
    assert (await client.act(transfer))["status"] == "ok"
    await quiet.create_order(SYMBOL, "market", "sell", 1, 3450, {"vaultAddress": sub})
    await asyncio.to_thread(lambda: sdk(client.sim, vault=sub).market_open("ETH", False, 1))
    assert await client.size() == 0
    (listed,) = await client.info("subAccounts", user=client.address)
    assert listed["clearinghouseState"]["assetPositions"][0]["position"]["szi"] == "-2.0"
    assert await client.info("userRole", user=sub) == {"role": "subAccount", "data": {"master": client.address}}
    stranger = await client.act({"type": "noop"}, vault="0x" + "99" * 20)
    assert stranger == {"status": "err", "response": f"Vault not registered: 0x{'99' * 20}"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("market", "buy", 100, 3450), ccxt.InsufficientFunds),
        (("limit", "buy", 0.1, 3400, {"timeInForce": "IOC"}), ccxt.InvalidOrder),
        (("limit", "buy", 0.1, 3500, {"postOnly": True}), ccxt.InvalidOrder),
        (("market", "sell", 0.1, 3450, {"reduceOnly": True}), ccxt.InvalidOrder),
        (("market", "buy", 0.002, 3450), ccxt.InvalidOrder),
    ],
)
async def test_refusals_raise_the_known_classes_in_ccxt(quiet: Any, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await quiet.create_order(SYMBOL, *arguments)


async def test_ccxt_lookups_of_unknown_orders(quiet: Any) -> None:
    with pytest.raises(ccxt.OrderNotFound):
        await quiet.fetch_order(CLOID, SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        await quiet.cancel_order("12345", SYMBOL)


async def test_every_public_call_of_ccxt_that_we_name_works(plain: Any) -> None:
    assert (await plain.fetch_ticker(SYMBOL))["last"] == 3450.0
    assert (await plain.fetch_order_book(SYMBOL))["bids"][0][0] == 3449.9
    assert len(await plain.fetch_ohlcv(SYMBOL, "1m", limit=2)) >= 1
    assert (await plain.fetch_funding_rate(SYMBOL))["fundingRate"] == 0.0
    assert await plain.fetch_funding_rate_history(SYMBOL) == []
    assert (await plain.fetch_trading_fee(SYMBOL))["taker"] == 0.00045
    assert (await plain.fetch_status())["status"] == "ok"
