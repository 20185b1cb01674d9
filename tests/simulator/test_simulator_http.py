"""Wire rules common to HTTP: number format, 4xx texts, who may act."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.wire import number, stripped, wire_decimal

NOT_SHAPED = "Failed to deserialize the JSON body into the target type"
ORDER: dict[str, Any] = {"a": 1, "b": True, "p": "3500", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("3000", "3000.0"),
        ("1.50", "1.5"),
        ("-0.00", "0.0"),
        ("1E+3", "1000.0"),
        ("1E-8", "0.00000001"),
        ("-2.5", "-2.5"),
    ],
)
def test_numbers_always_carry_a_point(value: str, text: str) -> None:
    assert number(Decimal(value)) == text


@given(st.decimals(min_value=0, max_value=10**9, places=8))
def test_numbers_survive_the_wire(value: Decimal) -> None:
    assert Decimal(number(value)) == value
    assert wire_decimal(stripped(value)) == value


async def test_content_type_is_checked_first(client: Any) -> None:
    async with client.http.post(f"{client.sim.url}/exchange", data="{}") as response:
        assert response.status == 415
        assert await response.text() == "Expected request with `Content-Type: application/json`"


@pytest.mark.parametrize("path", ["info", "exchange"])
async def test_not_json_is_400(client: Any, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with client.http.post(f"{client.sim.url}/{path}", data="{", headers=headers) as response:
        assert response.status == 400
        assert await response.text() == "Failed to parse the request body as JSON"


def with_order(**changed: Any) -> dict[str, Any]:
    return {"type": "order", "orders": [ORDER | changed], "grouping": "na"}


@pytest.mark.parametrize(
    "action",
    [
        {"type": "teleport"},
        with_order(p=3500),
        with_order(p="3,500"),
        with_order(p="-1"),
        with_order(p="1e3"),
        with_order(s="0.123456789"),
        with_order(a="1"),
        with_order(b=1),
        with_order(c="0x1234"),
        with_order(t={"limit": {"tif": "Fok"}}),
        with_order(t={}),
        {"type": "order", "orders": [], "grouping": "na"},
        {"type": "order", "orders": [ORDER]},
        {"type": "updateLeverage", "asset": 1, "isCross": True, "leverage": 5.0},
        {"type": "cancel", "cancels": [{"a": 1}]},
    ],
)
async def test_wrong_shape_is_422_and_spends_nothing(client: Any, action: dict[str, Any]) -> None:
    body = client.signed(action)
    async with client.http.post(f"{client.sim.url}/exchange", json=body) as response:
        assert response.status == 422
        assert await response.text() == NOT_SHAPED
    assert (await client.act({"type": "noop"}, nonce=body["nonce"]))["status"] == "ok"


@pytest.mark.parametrize(
    "body",
    [
        {"type": "nothing"},
        {"type": "clearinghouseState"},
        {"type": "clearinghouseState", "user": "0x12"},
        {"type": "orderStatus", "user": "0x" + "01" * 20, "oid": "12"},
        {"type": "candleSnapshot", "req": {"coin": "ETH", "interval": "2m", "startTime": 0, "endTime": 1}},
        {"type": "recentTrades", "coin": "NOPE"},
        [],
    ],
)
async def test_wrong_info_requests_are_422(client: Any, body: Any) -> None:
    async with client.http.post(f"{client.sim.url}/info", json=body) as response:
        assert response.status == 422
        assert await response.text() == NOT_SHAPED


async def test_book_of_an_unknown_coin_is_null(client: Any) -> None:
    assert await client.info("l2Book", coin="NOPE") is None


async def test_stranger_has_no_account(client: Any, as_key: Callable[..., Any]) -> None:
    stranger = as_key(client, "0x" + "33" * 32)
    text = f"User or API Wallet {stranger.address} does not exist."
    assert await stranger.act({"type": "noop"}) == {"status": "err", "response": text}
    assert await client.info("userRole", user=stranger.address) == {"role": "missing"}


async def test_signature_off_the_curve_is_unrecoverable(client: Any) -> None:
    body = client.signed({"type": "noop"})
    body["signature"] = {"r": "0x" + "ff" * 32, "s": "0x1", "v": 27}
    assert await client.post(body) == {"status": "err", "response": "Unable to recover signer."}
    body["signature"] = client.signed({"type": "noop"})["signature"] | {"v": 0}
    assert await client.post(body) == {"status": "err", "response": "Unable to recover signer."}


async def test_mainnet_chain_of_a_user_signed_action_is_refused(client: Any) -> None:
    action = {
        "type": "usdClassTransfer",
        "amount": "1",
        "toPerp": True,
        "nonce": 1,
        "signatureChainId": "0x66eee",
        "hyperliquidChain": "Mainnet",
    }
    body = client.signed({"type": "noop"}, nonce=1) | {"action": action}
    answer = await client.post(body)
    assert answer == {"status": "err", "response": "Mainnet and testnet require different signature."}


async def test_addresses_are_taken_in_any_case_and_answered_in_lower_case(client: Any) -> None:
    await client.order(True, "0.1", "3500")
    assert len(await client.info("userFills", user=client.key.address)) == 1
    trades = await client.info("recentTrades", coin="ETH")
    assert trades[0]["users"][0] == client.address


async def test_request_log_is_written_as_json_lines(connect: Any, tmp_path: Any) -> None:
    client = await connect(log_file=tmp_path / "log" / "requests.jsonl")
    await client.order(True, "0.1", "3500")
    await client.state()
    lines = (tmp_path / "log" / "requests.jsonl").read_text().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["type"], first["signer"], first["verdict"]) == ("order", client.address, "ok")
    assert first["answer"]["status"] == "ok" and first["received_ms"] > 0
    assert (second["path"], second["type"]) == ("/info", "clearinghouseState")


async def test_control_api_is_not_on_the_public_port(client: Any) -> None:
    async with client.http.get(f"{client.sim.url}/control/state") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("price", {"coin": "NOPE", "price": "1"}, "allowed are BTC"),
        ("price", {"coin": "ETH", "price": "-1"}, "price"),
        ("fund", {"address": "0x12", "usd": "1"}, "40 hex digits"),
        ("faults", {"kind": "explode"}, "drop_reply"),
        ("clock", {"speed": 0}, "speed"),
        ("clock", {"seek_s": 0}, "can only go on"),
    ],
)
async def test_control_errors_say_what_is_allowed(client: Any, path: str, body: dict[str, Any], words: str) -> None:
    async with client.http.post(f"{client.sim.control_url}/control/{path}", json=body) as response:
        assert response.status == 400
        assert words in await response.text()


async def test_get_is_not_an_exchange_method(client: Any, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{client.sim.url}/exchange") as response:
        assert response.status == 405
