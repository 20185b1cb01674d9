"""Each kind of fault over plain HTTP: what the client gets, what was executed, what the log says of it."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from simulator.faults import FAULT, Asked
from simulator.striking import Faults

ORDER: dict[str, Any] = {
    "type": "order",
    "orders": [{"a": 1, "b": True, "p": "3500", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}],
    "grouping": "na",
}
CLOID = "0x" + "ab" * 16
NAMED: dict[str, Any] = ORDER | {"orders": [ORDER["orders"][0] | {"c": CLOID}]}
OK = {"status": "ok", "response": {"type": "default"}}


async def arm(client: Any, kind: str, match: dict[str, Any] | None = None, **what: Any) -> Any:
    return await client.control("faults", kind=kind, match=match or {"action": "order"}, **what)


async def raw(client: Any, body: dict[str, Any], path: str = "exchange") -> tuple[int, str, str]:
    async with client.http.post(f"{client.sim.url}/{path}", json=body) as response:
        return response.status, response.content_type, await response.text()


async def verdict(client: Any, kind: str = "order") -> tuple[str, str | None]:
    entry = (await client.seen("requests", type=kind))[-1]
    return entry["verdict"], entry["fault"]


async def struck(client: Any) -> None:
    """Until the newest fault has hit a request."""
    while not (await client.seen("faults"))[-1]["hit"]:
        pass


async def test_others_are_served_while_a_request_is_held(client: Any) -> None:
    await arm(client, "delay", seconds=60, when="before")
    held = asyncio.create_task(client.act(ORDER))
    await struck(client)
    assert await client.act({"type": "noop"}) == OK
    assert await client.size() == 0
    assert not held.done()
    held.cancel()
    await asyncio.wait([held])


async def test_held_request_is_executed_also_when_its_client_has_gone(client: Any) -> None:
    await arm(client, "delay", seconds=0.3, when="before")
    held = asyncio.create_task(client.act(ORDER))
    await struck(client)
    held.cancel()
    await asyncio.wait([held])
    while await client.size() == 0:
        pass
    assert await verdict(client) == ("ok", "delay")


async def test_held_after_is_executed_before_it_is_answered(client: Any) -> None:
    await arm(client, "delay", seconds=60, when="after")
    held = asyncio.create_task(client.act(ORDER))
    while await client.size() == 0:
        pass
    assert not held.done()
    assert (await verdict(client))[0] == "ok"
    held.cancel()
    await asyncio.wait([held])
    await arm(client, "delay", seconds=0.2, when="after")
    began = time.monotonic()
    assert (await client.act(ORDER))["status"] == "ok"
    assert time.monotonic() - began >= 0.2


async def test_half_of_the_answer_arrives_with_the_length_of_the_whole(client: Any) -> None:
    await arm(client, "truncate")
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.post(client.signed(ORDER))
    assert str(await client.size()) == "0.1"
    assert await verdict(client) == ("ok, reply truncated", "truncate")


@pytest.mark.parametrize("status", [429, 500, 502, 504])
async def test_status_before_executes_nothing(client: Any, status: int) -> None:
    await arm(client, "status", status=status)
    body = client.signed(ORDER)
    said, content_type, text = await raw(client, body)
    assert said == status
    assert (content_type, text) == ("application/json", "null") if status in (429, 500) else "<html>" in text
    assert await client.size() == 0
    assert await verdict(client) == (f"not executed, answered {status}", "status")
    assert (await client.post(body))["status"] == "ok", "the nonce is still free"


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_status_after_hides_what_was_executed(client: Any, status: int) -> None:
    await arm(client, "status", status=status, when="after")
    assert (await raw(client, client.signed(ORDER)))[0] == status
    assert str(await client.size()) == "0.1"
    assert await verdict(client) == (f"ok, answered {status}", "status")


@pytest.mark.parametrize(("when", "size"), [("before", "0"), ("after", "0.1")])
async def test_web_page_in_place_of_an_answer(client: Any, when: str, size: str) -> None:
    await arm(client, "html", when=when)
    status, content_type, text = await raw(client, client.signed(ORDER))
    assert (status, content_type, text[:6]) == (200, "text/html", "<html>")
    assert str(await client.size()) == size


async def test_partial_fill_is_answered_as_filled(client: Any) -> None:
    await arm(client, "partial", {}, share="0.4")
    assert (await client.order(True, "0.5001", "3500"))["filled"]["totalSz"] == "0.2"
    assert (await client.order(True, "0.5001", "3500"))["filled"]["totalSz"] == "0.5001"
    await arm(client, "partial", share="0.001")
    assert (await client.order(True, "0.01", "3500"))["filled"]["totalSz"] == "0.0001", "one lot at least"


async def test_two_faults_strike_one_request_in_different_places(client: Any) -> None:
    await arm(client, "drop_reply")
    await arm(client, "partial", share="0.5")
    with pytest.raises(aiohttp.ClientError):
        await client.act(ORDER)
    assert str(await client.size()) == "0.05"
    assert await verdict(client) == ("ok, reply dropped", "partial+drop_reply")


async def test_of_two_faults_in_one_place_the_younger_waits(client: Any) -> None:
    await arm(client, "status", status=502)
    await arm(client, "drop_request")
    assert (await raw(client, client.signed(ORDER)))[0] == 502
    with pytest.raises(aiohttp.ClientError):
        await client.act(ORDER)
    assert (await client.act(ORDER))["status"] == "ok"
    assert [fault["hit"] for fault in await client.seen("faults")] == [1, 1]


async def test_refused_request_spends_no_fault_of_its_reply(client: Any) -> None:
    await arm(client, "drop_reply")
    await arm(client, "nonce_used")
    body = client.signed(ORDER)
    assert await client.post(body) == {"status": "err", "response": f"Invalid nonce: duplicate nonce {body['nonce']}"}
    assert await client.size() == 0
    assert await verdict(client) == ("not executed, answered duplicate nonce", "nonce_used")
    with pytest.raises(aiohttp.ClientError):
        await client.post(body)
    assert str(await client.size()) == "0.1"


async def test_hidden_order_is_unknown_to_questions_but_moved_the_position(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await arm(client, "hide", seconds=600)
    assert (await client.act(NAMED))["response"]["data"]["statuses"][0]["filled"]["totalSz"] == "0.1"
    assert str(await client.size()) == "0.1"
    of_user = {"user": client.address}
    assert await client.info("orderStatus", oid=CLOID, **of_user) == {"status": "unknownOid"}
    assert await client.info("historicalOrders", **of_user) == []
    assert await client.info("userFills", **of_user) == []
    assert await client.info("userFillsByTime", startTime=0, **of_user) == []
    wall_ms = client.sim.venue.wall_ms
    monkeypatch.setattr(client.sim.venue, "wall_ms", lambda: wall_ms() + 600_000)
    assert len(await client.info("userFills", **of_user)) == 1
    assert (await client.info("orderStatus", oid=CLOID, **of_user))["status"] == "order"
    assert len(await client.info("historicalOrders", **of_user)) == 1


async def test_reduce_only_larger_than_the_position_as_the_fault_says(client: Any) -> None:
    await client.order(True, "0.1", "3500")
    await arm(client, "reduce_only", oversize="reject")
    assert "would increase" in (await client.order(False, "0.2", "3400", reduce_only=True))["error"]
    assert (await client.order(False, "0.2", "3400", reduce_only=True))["filled"]["totalSz"] == "0.1"


async def test_wrong_content_type_and_slow_answers_are_whole(client: Any) -> None:
    await arm(client, "wrong_content_type")
    await arm(client, "slow", {"action": "noop"}, seconds=0.3)
    _, content_type, text = await raw(client, client.signed(ORDER))
    assert content_type == "text/plain" and '"filled"' in text
    began = time.monotonic()
    assert await client.act({"type": "noop"}) == OK
    assert time.monotonic() - began >= 0.3


async def test_questions_fail_too(client: Any) -> None:
    await arm(client, "status", {"info": "clearinghouseState"}, status=504)
    await arm(client, "truncate", {"info": "*", "nth": 2})
    question = {"type": "clearinghouseState", "user": client.address}
    assert (await raw(client, question, "info"))[0] == 504
    assert await verdict(client, "clearinghouseState") == ("not executed, answered 504", "status")
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.state()
    assert (await client.state())["assetPositions"] == []


async def test_fault_of_a_coin_leaves_the_others_alone(client: Any) -> None:
    await arm(client, "drop_request", {"coin": "BTC"})
    assert (await client.act(ORDER))["status"] == "ok"
    with pytest.raises(aiohttp.ClientError):
        await client.order(True, "0.01", "90000", asset=0)
    await arm(client, "drop_request", {"coin": "BTC"})
    with pytest.raises(aiohttp.ClientError):
        await client.act({"type": "updateLeverage", "asset": 0, "isCross": True, "leverage": 3})


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "explode"}, "drop_request"),
        ({"kind": "delay"}, "seconds"),
        ({"kind": "status", "status": 418}, "429, 500, 502 or 504"),
        ({"kind": "status", "status": 429, "when": "after"}, "only when is before"),
        ({"kind": "drop_reply", "match": {"action": "oder"}}, "allowed are *, order"),
        ({"kind": "drop_reply", "match": {"info": "mate"}}, "allowed are *, meta"),
        ({"kind": "drop_reply", "match": {"action": "order", "info": "meta"}}, "one of them"),
        ({"kind": "hide", "seconds": 1, "match": {"info": "meta"}}, "actions only"),
        ({"kind": "partial", "share": "0.4", "match": {"action": "noop"}}, "allowed are order, modify"),
        ({"kind": "drop_reply", "match": {"coin": "NOPE"}}, "coin is NOPE"),
    ],
)
async def test_what_is_not_a_fault_is_refused_with_what_is_allowed(client: Any, fault: Any, said: str) -> None:
    async with client.http.post(f"{client.sim.control_url}/control/faults", json=fault) as response:
        assert response.status == 400
        assert said in await response.text()
    assert await client.seen("faults") == []


def strikes(seed: int) -> list[bool]:
    faults = Faults(seed)
    faults.arm(FAULT.validate_python({"kind": "drop_reply", "match": {"probability": 0.4, "count": 1000}}))
    return [bool(faults.strike(Asked(action="order")).faults) for _ in range(200)]


def test_same_seed_and_same_requests_give_the_same_strikes() -> None:
    assert strikes(7) == strikes(7) != strikes(8)
    assert 50 < sum(strikes(7)) < 110


async def test_chance_begins_anew_with_a_seed(client: Any) -> None:
    fates = []
    await arm(client, "status", {"action": "noop", "probability": 0.5, "count": 1000}, status=502)
    for _ in range(2):
        await client.control("seed", seed=7)
        fates.append([(await raw(client, client.signed({"type": "noop"})))[0] for _ in range(20)])
    assert fates[0] == fates[1]
    assert set(fates[0]) == {200, 502}
