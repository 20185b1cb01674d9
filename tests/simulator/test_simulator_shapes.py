"""Every answer has the keys and JSON types of the venue's own: the simulator can't drift into what our client expects.

`wire_shapes.json` holds one example of each shape with invented values: a key that ends in `?` may be absent, one that
ends in `|null` may be null; an example string that is a decimal, an address or an id stands for that format.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import websockets

SHAPES = json.loads((Path(__file__).parent / "wire_shapes.json").read_text())
FORMATS = (
    re.compile(r"-?\d+\.\d+"),
    re.compile(r"0x[0-9a-f]{40}"),
    re.compile(r"0x[0-9a-f]{64}"),
    re.compile(r"0x[0-9a-f]{32}"),
)
CLOID = "0x" + "ab" * 16


def differences(value: Any, shape: Any, path: str = "") -> list[str]:
    """What in `value` is not as in the example."""
    if isinstance(shape, dict):
        return _object_differences(value, shape, path)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{path} is {value!r}, not a list"]
        if shape and all(isinstance(each, type(shape[0])) for each in shape):
            return [line for at, each in enumerate(value) for line in differences(each, shape[0], f"{path}[{at}]")]
        return [
            line
            for at, pair in enumerate(zip(value, shape, strict=False))
            for line in differences(*pair, f"{path}[{at}]")
        ]
    if type(value) is not type(shape):
        return [f"{path} is {value!r}, not a {type(shape).__name__}"]
    form = next((form for form in FORMATS if isinstance(shape, str) and form.fullmatch(shape)), None)
    return [f"{path} is {value!r}, not like {shape!r}"] if form and not form.fullmatch(value) else []


def _object_differences(value: Any, shape: dict[str, Any], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path} is {value!r}, not an object"]
    named = {re.sub(r"(\?|\|null)$", "", key): (key, each) for key, each in shape.items()}
    found = [f"{path}.{key} is not in the venue's shape" for key in value if key not in named]
    for key, (marked, each) in named.items():
        if key not in value:
            found += [] if marked.endswith("?") else [f"{path}.{key} is missing"]
        elif not (marked.endswith("|null") and value[key] is None):
            found += differences(value[key], each, f"{path}.{key}")
    return found


def check(value: Any, shape: str) -> None:
    assert differences(value, SHAPES[shape]) == []


def check_all(values: list[Any], shape: str) -> None:
    assert values, f"nothing to compare with {shape}"
    for value in values:
        check(value, shape)


@pytest.fixture
async def busy(client: Any) -> Any:
    """An account with cross and isolated positions, resting and refused orders and a sub-account."""
    await client.act({"type": "updateLeverage", "asset": 2, "isCross": False, "leverage": 3})
    await client.order(True, "1", "3500", cloid=CLOID)
    await client.order(False, "5", "140", asset=2)
    await client.order(False, "0.4", "3440")
    await client.order(True, "0.5", "3400", tif="Gtc", cloid=CLOID)
    await client.order(False, "0.5", "3600", tif="Gtc", reduce_only=True)
    await client.order(True, "0.1", "3400")
    await client.control("sub_account", master=client.address, name="hedge")
    return client


def test_the_comparison_itself_finds_every_kind_of_difference() -> None:
    good = {"userRateLimit": {"cumVlm": "1.5", "nRequestsUsed": 5, "nRequestsCap": 1, "nRequestsSurplus": 0}}[
        "userRateLimit"
    ]
    check(good, "userRateLimit")
    for wrong in ({"cumVlm": "1"}, {"cumVlm": 1.5}, {"nRequestsUsed": "5"}, {"nRequestsUsed": None}, {"more": 1}):
        assert len(differences(good | wrong, SHAPES["userRateLimit"])) == 1
    assert len(differences({}, SHAPES["userRateLimit"])) == 4


async def test_market_answers(busy: Any) -> None:
    meta, contexts = await busy.info("metaAndAssetCtxs")
    check(meta, "meta")
    check(await busy.info("meta", dex=""), "meta")
    check_all(contexts, "assetContext")
    assert len(contexts) == len(meta["universe"])
    spot, spot_contexts = await busy.info("spotMetaAndAssetCtxs")
    check(spot, "spotMeta")
    check_all(spot_contexts, "spotContext")
    assert await busy.info("perpDexs") == [None]
    mids = await busy.info("allMids")
    assert all(re.fullmatch(r"\d+\.\d+", mid) for mid in mids.values()) and "LUNA" not in mids
    check(await busy.info("l2Book", coin="ETH"), "l2Book")
    check_all(await busy.info("recentTrades", coin="ETH"), "trade")
    span = {"coin": "ETH", "interval": "1m", "startTime": 0, "endTime": 2**52}
    check_all(await busy.info("candleSnapshot", req=span), "candle")
    assert await busy.info("fundingHistory", coin="ETH", startTime=0) == []
    assert set(await busy.info("exchangeStatus")) == {"specialStatuses", "time"}


async def test_account_answers(busy: Any) -> None:
    user = busy.address
    check(await busy.state(), "clearinghouseState")
    check(await busy.info("spotClearinghouseState", user=user), "spotClearinghouseState")
    check_all(await busy.info("openOrders", user=user), "openOrder")
    check_all(await busy.info("frontendOpenOrders", user=user), "frontendOrder")
    records = await busy.info("historicalOrders", user=user)
    check_all([record["order"] for record in records], "frontendOrder")
    assert {record["status"] for record in records} == {"open", "filled", "iocCancelRejected"}
    assert {frozenset(record) for record in records} == {frozenset({"order", "status", "statusTimestamp"})}
    status = await busy.info("orderStatus", user=user, oid=CLOID)
    assert set(status) == {"status", "order"} and set(status["order"]) == {"order", "status", "statusTimestamp"}
    fills = await busy.info("userFills", user=user)
    check_all(fills, "fill")
    assert await busy.info("userFillsByTime", user=user, startTime=0) == fills
    check_all(await busy.info("userNonFundingLedgerUpdates", user=user, startTime=0), "ledgerUpdate")
    check(await busy.info("userRateLimit", user=user), "userRateLimit")
    check(await busy.info("userFees", user=user), "userFees")
    for coin in ("ETH", "SOL", "TST"):
        check(await busy.info("activeAssetData", user=user, coin=coin), "activeAssetData")
    assert await busy.info("userFunding", user=user, startTime=0) == []
    assert await busy.info("extraAgents", user=user) == []
    assert await busy.info("userAbstraction", user=user) == "disabled"
    assert await busy.info("userRole", user=user) == {"role": "user"}
    (sub,) = await busy.info("subAccounts", user=user)
    assert set(sub) == {"name", "subAccountUser", "master", "clearinghouseState", "spotState"}
    check(sub["clearinghouseState"], "clearinghouseState")


async def test_order_answers(client: Any) -> None:
    filled = await client.order(True, "0.1", "3500", cloid=CLOID)
    resting = await client.order(True, "0.1", "3400", tif="Gtc")
    assert {key: type(each) for key, each in filled["filled"].items()} == {
        "totalSz": str,
        "avgPx": str,
        "oid": int,
        "cloid": str,
    }
    assert {key: type(each) for key, each in resting["resting"].items()} == {"oid": int}


async def test_stream_frames(busy: Any) -> None:
    async with websockets.connect(busy.sim.ws_url) as socket:
        user = busy.address
        for subscription in (
            {"type": "trades", "coin": "ETH"},
            {"type": "bbo", "coin": "ETH"},
            {"type": "l2Book", "coin": "ETH"},
            {"type": "activeAssetCtx", "coin": "ETH"},
            {"type": "candle", "coin": "ETH", "interval": "1h"},
            {"type": "userFills", "user": user},
            {"type": "orderUpdates", "user": user},
            {"type": "clearinghouseState", "user": user},
        ):
            await socket.send(json.dumps({"method": "subscribe", "subscription": subscription}))
        await busy.order(True, "0.1", "3500")
        seen: dict[str, Any] = {}
        wanted = {
            "trades",
            "bbo",
            "l2Book",
            "activeAssetCtx",
            "candle",
            "userFills",
            "orderUpdates",
            "clearinghouseState",
        }
        while not wanted <= set(seen):
            frame = json.loads(await socket.recv())
            seen[frame["channel"]] = frame["data"]
    check_all(seen["trades"], "trade")
    check(seen["bbo"], "bbo")
    check(seen["l2Book"], "l2Book")
    check(seen["activeAssetCtx"]["ctx"], "assetContext")
    check(seen["candle"], "candle")
    check_all(seen["userFills"]["fills"], "fill")
    check_all(seen["orderUpdates"], "orderUpdate")
    check(seen["clearinghouseState"]["clearinghouseState"], "clearinghouseState")
