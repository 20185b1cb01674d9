"""The nonce rule by itself, and what spends a nonce on a running simulator."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.nonces import DAY_MS, EDGE_MS, KEPT, NonceRefused, Nonces

NOW = 1_790_000_000_000
SIGNER = "0x" + "01" * 20


def refusal(nonces: Nonces, nonce: int, signer: str = SIGNER) -> str | None:
    try:
        nonces.use(signer, nonce, NOW)
    except NonceRefused as error:
        return str(error)
    return None


def test_a_nonce_is_used_once_per_signer() -> None:
    nonces = Nonces()
    assert refusal(nonces, NOW) is None
    assert refusal(nonces, NOW) == f"Invalid nonce: duplicate nonce {NOW}"
    assert refusal(nonces, NOW, "0x" + "02" * 20) is None


def test_window_is_two_days_back_and_one_ahead() -> None:
    nonces = Nonces()
    lowest, highest = NOW - 2 * DAY_MS + EDGE_MS, NOW + DAY_MS - EDGE_MS
    assert refusal(nonces, lowest) is None
    assert refusal(nonces, highest) is None
    assert refusal(nonces, lowest - 1) == f"Invalid nonce: nonce too low {lowest - 1} < {lowest}"
    assert refusal(nonces, highest + 1) == f"Invalid nonce: nonce too high {highest + 1} > {highest}"


def test_only_the_hundred_highest_are_kept_and_lower_ones_are_refused() -> None:
    nonces = Nonces()
    for nonce in range(NOW, NOW + KEPT + 10):
        assert refusal(nonces, nonce) is None
    lowest_kept = NOW + 10
    assert nonces.kept(SIGNER) == tuple(range(lowest_kept, NOW + KEPT + 10))
    assert refusal(nonces, NOW) == f"Invalid nonce: nonce too low {NOW} < {lowest_kept}"
    assert refusal(nonces, lowest_kept) == f"Invalid nonce: duplicate nonce {lowest_kept}"


@given(st.lists(st.integers(min_value=NOW - 300, max_value=NOW + 300), max_size=400))
def test_no_nonce_is_ever_taken_twice(offered: list[int]) -> None:
    nonces, taken = Nonces(), []
    for nonce in offered:
        if refusal(nonces, nonce) is None:
            taken.append(nonce)
    assert len(taken) == len(set(taken))
    assert nonces.kept(SIGNER) == tuple(sorted(taken)[-KEPT:])


NOOP = {"type": "noop"}
ORDER: dict[str, Any] = {
    "type": "order",
    "orders": [{"a": 1, "b": True, "p": "3500", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}],
    "grouping": "na",
}
OK = {"status": "ok", "response": {"type": "default"}}


def duplicate(nonce: int) -> dict[str, str]:
    return {"status": "err", "response": f"Invalid nonce: duplicate nonce {nonce}"}


async def test_identical_bytes_execute_once(client: Any) -> None:
    body = client.signed(ORDER)
    first, second = await client.post(body), await client.post(body)
    assert "filled" in first["response"]["data"]["statuses"][0]
    assert second == duplicate(body["nonce"])
    assert str(await client.size()) == "0.1"


async def test_noop_burns_the_nonce_of_an_order_that_has_not_arrived(client: Any) -> None:
    body = client.signed(ORDER)
    assert await client.act(NOOP, nonce=body["nonce"]) == OK
    assert await client.post(body) == duplicate(body["nonce"])
    assert await client.size() == 0


async def test_noop_after_an_admitted_order_says_duplicate(client: Any) -> None:
    body = client.signed(ORDER)
    await client.post(body)
    assert await client.act(NOOP, nonce=body["nonce"]) == duplicate(body["nonce"])


async def test_fence_by_another_signer_burns_nothing(client: Any, as_key: Callable[..., Any]) -> None:
    other = as_key(client, "0x" + "33" * 32)
    await client.control("fund", address=other.address, usd="100")
    body = client.signed(ORDER)
    assert await other.act(NOOP, nonce=body["nonce"]) == OK
    assert "filled" in (await client.post(body))["response"]["data"]["statuses"][0]


@pytest.mark.parametrize("price", ["3500.05", "3400"])
async def test_business_reject_spends_the_nonce(client: Any, price: str) -> None:
    order = ORDER["orders"][0] | {"p": price}
    body = client.signed(ORDER | {"orders": [order]})
    answer = await client.post(body)
    assert "error" in answer["response"]["data"]["statuses"][0]
    assert await client.post(body) == duplicate(body["nonce"])


async def test_expired_action_is_refused_and_spends_its_nonce(client: Any) -> None:
    now = time.time_ns() // 1_000_000
    body = client.signed(ORDER, expires_after=now - 1)
    assert await client.post(body) == {"status": "err", "response": "Action already expired"}
    assert await client.post(body) == duplicate(body["nonce"])
    assert "filled" in str(await client.act(ORDER, expires_after=now + 60_000))
