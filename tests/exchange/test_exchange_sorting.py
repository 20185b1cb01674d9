"""Raw replies through the real ccxt class over HTTP: the table of what each says about an order."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from exchange.errors import ExchangeError, NotSent, Rejected, RejectReason, Unknown
from exchange.network import Endpoint
from exchange.signing import PrivateKey
from exchange.sorting import Declined, Filled, NonceTooLow, NonceUsed, Resting, sort_order_reply
from exchange.transport import Transport
from settings import Network
from tests.exchange.conftest import TEST_KEY
from tests.exchange.spoiling import SPOILT, Spoil, answer

Answering = Callable[[Spoil], Awaitable[str]]


async def send_order(url: str, timeout_ms: int = 5_000) -> Filled | Resting | Declined:
    key = PrivateKey(TEST_KEY)
    transport = Transport(Endpoint(Network.PAPER, url), key.address, key)
    transport._trading.timeout = timeout_ms
    try:
        return sort_order_reply(await transport.act({"type": "order"}, 1_900_000_000_000))
    finally:
        await transport.close()


async def error_of(url: str, timeout_ms: int = 5_000) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        await send_order(url, timeout_ms)
    return caught.value


@pytest.mark.parametrize(
    ("spoilt", "known"),
    [
        ("hang up", Unknown),
        ("cut off", Unknown),
        ("429", NotSent),
        ("500", Unknown),
        ("502 html", Unknown),
        ("504 html", Unknown),
        ("403 html", Unknown),
        ("422", Rejected),
        ("200 html", Unknown),
        ("200 null", Unknown),
        ("200 empty", Unknown),
        ("200 other shape", Unknown),
        ("200 half a reply", Unknown),
        ("rate limit text", NotSent),
    ],
)
async def test_spoilt_answer_is_sorted_by_what_is_known_after_it(
    answering: Answering, spoilt: str, known: type[ExchangeError]
) -> None:
    error = await error_of(await answering(SPOILT[spoilt]))
    assert type(error) is known


def test_every_way_of_spoiling_is_in_the_table() -> None:
    (mark,) = test_spoilt_answer_is_sorted_by_what_is_known_after_it.pytestmark  # type: ignore[attr-defined]
    assert [row[0] for row in mark.args[1]] == list(SPOILT)


@pytest.mark.parametrize("status", [400, 415])
async def test_body_that_was_not_understood_is_rejected(answering: Answering, status: int) -> None:
    error = await error_of(await answering(answer(status, "Failed to parse the request body as JSON", "text/plain")))
    assert isinstance(error, Rejected)
    assert str(error) == f"HTTP {status}: Failed to parse the request body as JSON"


async def test_no_listener_means_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await error_of(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert isinstance(error, NotSent)
    assert "no connection to the exchange" in str(error)


async def test_name_that_does_not_resolve_means_not_sent() -> None:
    assert isinstance(await error_of("http://nowhere.invalid"), NotSent)


async def test_silence_is_unknown_after_the_timeout(answering: Answering) -> None:
    released = asyncio.Event()

    async def silent(request: web.Request, raw: bytes, forward: object) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    error = await error_of(await answering(silent), timeout_ms=100)
    released.set()
    assert type(error) is Unknown
    assert "RequestTimeout" in str(error)


@pytest.mark.parametrize(
    ("text", "known", "reason"),
    [
        ("Invalid nonce: duplicate nonce 1900000000000", NonceUsed, RejectReason.NONCE),
        ("Invalid nonce: nonce too low 1 < 2", NonceTooLow, RejectReason.NONCE),
        ("Invalid nonce: nonce too high 3 > 2", Rejected, RejectReason.NONCE),
        ("Action already expired", Rejected, RejectReason.EXPIRED),
        ("User or API Wallet 0x00 does not exist.", Rejected, RejectReason.RULE),
        ("Must deposit before performing actions. User: 0x00", Rejected, RejectReason.KEY),
        ("Cannot switch leverage type with open position.", Rejected, RejectReason.RULE),
        ("a text that nobody has seen before", Rejected, RejectReason.RULE),
    ],
)
async def test_action_errors_by_their_text(
    answering: Answering, text: str, known: type[Rejected], reason: RejectReason
) -> None:
    error = await error_of(await answering(answer(200, json.dumps({"status": "err", "response": text}))))
    assert type(error) is known
    assert isinstance(error, Rejected) and error.reason is reason
    assert str(error) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Order could not immediately match against any resting orders. asset=1", RejectReason.NO_MATCH),
        ("No liquidity available for market order.", RejectReason.NO_MATCH),
        ("Insufficient margin to place order. asset=1", RejectReason.MARGIN),
        ("Order would cause position to exceed margin tier limit at current leverage", RejectReason.MARGIN),
        ("Order has insufficient spot balance to trade", RejectReason.MARGIN),
        ("Insufficient spot balance asset=10107", RejectReason.MARGIN),
        ("Order must have minimum value of 10 USDC. asset=10107", RejectReason.RULE),
        ("Price must be divisible by tick size. asset=1", RejectReason.RULE),
        ("Order must have minimum value of $10. asset=1", RejectReason.RULE),
        ("Reduce only order would increase position. asset=1", RejectReason.RULE),
        ("Order has zero size.", RejectReason.RULE),
        ("Invalid TP/SL price. asset=1", RejectReason.TRIGGER),
    ],
)
async def test_order_errors_are_values_with_a_reason(answering: Answering, text: str, reason: RejectReason) -> None:
    reply = {"status": "ok", "response": {"type": "order", "data": {"statuses": [{"error": text}]}}}
    assert await send_order(await answering(answer(200, json.dumps(reply)))) == Declined(reason, text)


@pytest.mark.parametrize(
    "status",
    [
        {"resting": {"oid": 5}},
        "waitingForTrigger",
        {"filled": {"oid": 5, "totalSz": "much", "avgPx": "1.0"}},
        {"filled": {"totalSz": "1.0"}},
        {"filled": {"oid": 5, "totalSz": 1.0}},
        "waitingForFill",
        {},
        None,
    ],
)
async def test_order_status_of_another_form_is_unknown(answering: Answering, status: object) -> None:
    reply = {"status": "ok", "response": {"type": "order", "data": {"statuses": [status]}}}
    assert type(await error_of(await answering(answer(200, json.dumps(reply))))) is Unknown


async def test_errors_do_not_hold_the_signature(answering: Answering) -> None:
    sent: list[bytes] = []

    async def keep(request: web.Request, raw: bytes, forward: object) -> web.StreamResponse:
        sent.append(raw)
        return web.Response(status=500, text="null")

    error = await error_of(await answering(keep))
    signature = json.loads(sent[0])["signature"]
    told = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    assert signature["r"][2:] not in told and signature["s"][2:] not in told
