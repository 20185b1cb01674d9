"""The spot side: USDC moves over, tokens are bought and sold with the exchange's rules, and the books add up."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import websockets
from hyperliquid.utils.signing import sign_usd_class_transfer_action

from simulator.config import Depth
from simulator.server import Simulator, SimulatorConfig
from tests.simulator.conftest import AGENT_KEY, Client
from tests.simulator.test_simulator_accounts import approve
from tests.simulator.test_simulator_shapes import check, check_all

OK = {"status": "ok", "response": {"type": "default"}}
UETH, HYPE, PURR = 10151, 10107, 10000
CLOID = "0x" + "ab" * 16


def transfer(client: Client, amount: str, *, to_perp: bool, nonce: int | None = None) -> dict[str, Any]:
    """The signed body, made by the official SDK's code."""
    nonce = next(client._nonces) if nonce is None else nonce
    action = {"type": "usdClassTransfer", "amount": amount, "toPerp": to_perp, "nonce": nonce}
    signature = sign_usd_class_transfer_action(client.key, action, False)
    return {"action": action, "nonce": nonce, "signature": signature, "vaultAddress": None}


async def balances(client: Client) -> dict[str, dict[str, str]]:
    state = await client.info("spotClearinghouseState", user=client.address)
    return {each["coin"]: {key: each[key] for key in ("total", "hold", "entryNtl")} for each in state["balances"]}


async def totals(client: Client) -> dict[str, str]:
    """Checked against the books that are summed anew."""
    found = {coin: each["total"] for coin, each in (await balances(client)).items()}
    book = (await client.seen("ledger"))[client.address]
    assert book["spot"]["balances"] == found
    assert book["accountValueUsd"] == (await client.state())["marginSummary"]["accountValue"]
    return found


@pytest.fixture
async def saver(client: Client) -> Client:
    """With 1000 of its 10 000 USD on the spot side."""
    assert await client.post(transfer(client, "1000", to_perp=False)) == OK
    return client


async def test_buyer_pays_the_fee_in_coin_and_seller_in_usdc(saver: Client) -> None:
    bought = await saver.order(True, "0.1", "3500", asset=UETH, cloid=CLOID)
    assert bought["filled"]["totalSz"] == "0.1" and bought["filled"]["avgPx"] == "3450.1"
    assert await totals(saver) == {"USDC": "654.99", "UETH": "0.09993"}
    await saver.order(False, "0.0999", "3400", asset=UETH)
    # 654.99 + 0.0999 x 3449.9 - 0.07 %
    assert await totals(saver) == {"USDC": "999.3937585", "UETH": "0.00003"}
    check(await saver.info("spotClearinghouseState", user=saver.address), "spotClearinghouseState")
    sold, buy = await saver.info("userFills", user=saver.address)
    check_all([sold, buy], "fill")
    assert {key: buy[key] for key in ("coin", "dir", "fee", "feeToken", "startPosition", "closedPnl", "cloid")} == {
        "coin": "@151",
        "dir": "Buy",
        "fee": "0.00007",
        "feeToken": "UETH",
        "startPosition": "0.0",
        "closedPnl": "0.0",
        "cloid": CLOID,
    }
    assert (sold["dir"], sold["feeToken"], sold["startPosition"]) == ("Sell", "USDC", "0.09993")
    assert (await saver.state())["assetPositions"] == [], "spot moves no perpetual"


@pytest.mark.parametrize(
    ("order", "text", "record"),
    [
        ((True, "0.3", "3500"), "Insufficient spot balance asset=10151", "insufficientSpotBalanceRejected"),
        ((False, "0.1", "3400"), "Insufficient spot balance asset=10151", "insufficientSpotBalanceRejected"),
        ((True, "0.0028", "3500"), "Order must have minimum value of 10 USDC. asset=10151", "minTradeSpotNtlRejected"),
        (
            (True, "0.1", "3400"),
            "Order could not immediately match against any resting orders. asset=10151",
            "iocCancelRejected",
        ),
        ((True, "0.00001", "3500"), "Order has invalid size. asset=10151", None),
        ((True, "0.1", "3450.11"), "Price must be divisible by tick size. asset=10151", None),
    ],
)
async def test_spot_rules_are_the_exchanges_own(saver: Client, order: Any, text: str, record: str | None) -> None:
    assert await saver.order(*order, asset=UETH) == {"error": text}
    kept = [each["status"] for each in await saver.info("historicalOrders", user=saver.address)]
    assert kept == ([record] if record else [])
    assert await totals(saver) == {"USDC": "1000.0"}


async def test_price_has_up_to_eight_decimals_less_the_sizes(saver: Client) -> None:
    assert "filled" in await saver.order(True, "100", "0.20999", asset=PURR)
    assert "error" in await saver.order(True, "100", "0.209999", asset=PURR), "five figures"
    await saver.control("price", coin="PURR/USDC", price="0.00012345")
    assert "filled" in await saver.order(True, "100000", "0.00012399", asset=PURR), "eight decimals"
    # A fee in PURR is counted to five decimals.
    assert (await totals(saver))["PURR"] == "100029.93"


async def test_unknown_pair_and_what_spot_orders_cannot_be_are_refused(saver: Client) -> None:
    assert await saver.order(True, "1", "30", asset=10001) == {"error": "Order has invalid asset. asset=10001"}
    refused = await saver.order(True, "1", "32", asset=HYPE, reduce_only=True)
    assert refused["error"].startswith("Trigger and reduce-only orders on spot are not simulated.")
    assert (await saver.act({"type": "updateLeverage", "asset": HYPE, "isCross": True, "leverage": 1}))[
        "status"
    ] == "err"


async def test_resting_orders_hold_what_they_need_and_fill_when_the_perpetual_comes(saver: Client) -> None:
    oid = (await saver.order(True, "0.2", "3400", asset=UETH, tif="Gtc", cloid=CLOID))["resting"]["oid"]
    assert (await balances(saver))["USDC"] == {"total": "1000.0", "hold": "680.0", "entryNtl": "0.0"}
    assert "Insufficient" in (await saver.order(True, "0.1", "3500", asset=UETH))["error"]
    assert (await saver.post(transfer(saver, "320.01", to_perp=True)))["status"] == "err"
    assert (await saver.state())["withdrawable"] == "9000.0", "a spot order needs no margin"
    (shown,) = await saver.info("openOrders", user=saver.address)
    assert (shown["coin"], shown["oid"], shown["cloid"]) == ("@151", oid, CLOID)
    await saver.price("3390")
    assert await totals(saver) == {"USDC": "320.0", "UETH": "0.19992"}
    status = await saver.info("orderStatus", user=saver.address, oid=CLOID)
    assert (status["order"]["status"], status["order"]["order"]["coin"]) == ("filled", "@151")
    (fill,) = await saver.info("userFills", user=saver.address)
    assert (fill["px"], fill["fee"], fill["crossed"]) == ("3400.0", "0.00008", False)

    await saver.order(False, "0.1", "3500", asset=UETH, tif="Gtc", cloid=CLOID)
    assert (await balances(saver))["UETH"] == {"total": "0.19992", "hold": "0.1", "entryNtl": "680.0"}
    cancel = {"type": "cancelByCloid", "cancels": [{"asset": UETH, "cloid": CLOID}]}
    assert (await saver.act(cancel))["response"]["data"]["statuses"] == ["success"]
    assert (await balances(saver))["UETH"]["hold"] == "0.0"


async def test_partial_fill_of_a_thin_book_says_what_it_is(connect: Any) -> None:
    thin = Depth(levels=1, size_usd=Decimal(345))
    client = await connect(depth_by_coin={"@151": thin})
    await client.post(transfer(client, "1000", to_perp=False))
    assert (await client.order(True, "0.2", "3500", asset=UETH))["filled"]["totalSz"] == "0.0999"
    assert await totals(client) == {"USDC": "655.33501", "UETH": "0.09983007"}


async def test_pair_follows_its_perpetual_with_its_basis(client: Client) -> None:
    await client.price("3500")
    mids = await client.info("allMids")
    assert (mids["ETH"], mids["@151"], mids["PURR/USDC"]) == ("3500.0", "3500.0", "0.20925")
    await client.control("basis", coin="@151", basis="0.002")
    assert (await client.info("allMids"))["@151"] == "3507.0"
    await client.price("3000")
    assert (await client.info("allMids"))["@151"] == "3006.0"
    assert (await client.info("l2Book", coin="@151"))["levels"][0][0]["px"] == "3005.9"
    assert await client.info("recentTrades", coin="@151") == [], "it prints what its orders trade"


async def test_liquidation_leaves_the_spot_side_alone(connect: Any) -> None:
    client = await connect(usd="1000")
    await client.post(transfer(client, "500", to_perp=False))
    await client.order(True, "0.1", "3400", asset=UETH, tif="Gtc")
    await client.order(True, "2", "3500")
    await client.control("price", coin="ETH", mark="3220")
    assert await client.size() < 2
    assert len(await client.info("openOrders", user=client.address)) == 1
    assert await totals(client) == {"USDC": "500.0"}


async def test_transfer_happens_once_for_a_nonce_and_only_by_the_accounts_own_key(
    client: Client, as_key: Callable[..., Client]
) -> None:
    body = transfer(client, "100.5", to_perp=False)
    assert await client.post(body) == OK
    duplicate = {"status": "err", "response": f"Invalid nonce: duplicate nonce {body['nonce']}"}
    assert await client.post(body) == duplicate
    assert (await client.act({"type": "noop"}, nonce=body["nonce"])) == duplicate, "one set of nonces for all actions"
    refused = transfer(client, "10000", to_perp=False)
    assert (await client.post(refused))["response"] == "Insufficient balance for withdrawal"
    assert (await client.post(refused))["response"].startswith("Invalid nonce: duplicate"), "a refusal spends it too"
    agent = as_key(client, AGENT_KEY)
    await approve(client, agent.address, "desk")
    text = f"Must deposit before performing actions. User: {agent.address}"
    assert await client.post(transfer(agent, "1", to_perp=False)) == {"status": "err", "response": text}
    assert await totals(client) == {"USDC": "100.5"}
    moves = await client.info("userNonFundingLedgerUpdates", user=client.address, startTime=0)
    assert [move["delta"] for move in moves[1:]] == [{"type": "accountClassTransfer", "usdc": "100.5", "toPerp": False}]


async def test_transfer_of_a_sub_account_is_named_behind_the_amount(client: Client) -> None:
    sub = (await client.control("sub_account", master=client.address, name="hedge"))["address"]
    await client.control("fund", address=sub, usd="500")
    assert await client.post(transfer(client, f"50 subaccount:{sub}", to_perp=False)) == OK
    body = transfer(client, "50", to_perp=False) | {"vaultAddress": sub}
    assert (await client.post(body))["response"] == "Vault may not perform this action."
    stranger = transfer(client, f"50 subaccount:0x{'99' * 20}", to_perp=False)
    assert (await client.post(stranger))["response"] == f"Vault not registered: 0x{'99' * 20}"
    state = await client.info("spotClearinghouseState", user=sub)
    assert state["balances"][0]["total"] == "50.0"
    assert await balances(client) == {}


async def test_restart_keeps_tokens_resting_orders_and_prices(connect: Any, tmp_path: Path) -> None:
    client = await connect(state_dir=tmp_path)
    await client.post(transfer(client, "1000", to_perp=False))
    await client.price("3500")
    await client.control("price", coin="PURR/USDC", price="0.3")
    await client.order(True, "0.1", "3600", asset=UETH)
    await client.order(True, "0.1", "3400", asset=UETH, tif="Gtc", cloid=CLOID)
    before = await balances(client), await client.info("userFills", user=client.address)
    await client.sim.stop()
    async with Simulator(SimulatorConfig(state_dir=tmp_path)) as sim:
        again = Client(sim, client.http, client.key)
        assert (await balances(again), await again.info("userFills", user=again.address)) == before
        mids = await again.info("allMids")
        assert (mids["@151"], mids["PURR/USDC"]) == ("3500.0", "0.3")
        assert (await again.info("orderStatus", user=again.address, oid=CLOID))["order"]["status"] == "open"
        await again.price("3390")
        assert (await totals(again))["UETH"] == "0.19989"


async def test_streams_show_spot_fills_and_prices(saver: Client) -> None:
    async with websockets.connect(saver.sim.ws_url) as socket:
        for subscription in (
            {"type": "userFills", "user": saver.address},
            {"type": "activeAssetCtx", "coin": "@151"},
            {"type": "trades", "coin": "@151"},
        ):
            await socket.send(json.dumps({"method": "subscribe", "subscription": subscription}))
        seen: dict[str, Any] = {}
        while len(seen) < 4:
            frame = json.loads(await socket.recv())
            seen[frame["channel"]] = frame["data"]
        assert seen["activeSpotAssetCtx"]["ctx"]["midPx"] == "3450.0"
        await saver.order(True, "0.1", "3500", asset=UETH)
        while not seen["trades"] or "isSnapshot" in seen["userFills"]:
            frame = json.loads(await socket.recv())
            seen[frame["channel"]] = frame["data"]
        (fill,) = seen["userFills"]["fills"]
        assert (fill["coin"], fill["feeToken"]) == ("@151", "UETH")
        assert [(trade["coin"], trade["sz"]) for trade in seen["trades"]] == [("@151", "0.1")]
