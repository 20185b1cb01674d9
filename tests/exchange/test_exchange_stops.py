"""Stops that rest at the exchange: placed exactly once, read, cancelled, recognised when they have fired."""

import asyncio
import json
import random
from decimal import Decimal

import pytest
from aiohttp import web

from exchange.asking import Patience
from exchange.cancelling import cancel
from exchange.errors import NotSent, Rejected, RejectReason, Unknown
from exchange.execution import execute
from exchange.nonces import wall_ms
from exchange.port import CancelOutcome, CancelStatus, Intent, OrderOutcome, OutcomeStatus, Side
from tests.exchange.conftest import Stage, StartStage, control
from tests.exchange.spoiling import SPOILT, Forward, Spoil, after, answer, hang_up

SHORT = Patience(visible_after_s=0.15, skew_s=0, give_up_after_s=5, pause_s=0.005, pause_max_s=0.05)
"""For a venue on the same machine, with the same clock."""
LOST = ["hang up", "cut off", "500", "200 html", "200 other shape"]


@pytest.fixture
async def stage(stage_of: StartStage) -> Stage:
    """One ETH held, mark 3450."""
    stage = await stage_of()
    await stage.gateway.place_market_order("ETH", "buy", 1)
    stage.proxy.seen.clear()
    return stage


def stop_of(stage: Stage, trigger: str = "3350", size: str = "1", limit: str = "3000", **terms: object) -> Intent:
    return stage.intent(Side.SELL, size, limit, reduce_only=True, trigger_price=Decimal(trigger), **terms)


async def place(stage: Stage, intent: Intent) -> OrderOutcome:
    return await execute(stage.gateway, intent, patience=SHORT)


async def cancel_it(stage: Stage, cloid: str) -> CancelOutcome:
    return await cancel(stage.gateway, "ETH", cloid, since_ms=0, patience=SHORT)


def stops_of(stage: Stage) -> list[str]:
    """How the venue's own books name each stop's state."""
    return [order.status for order in stage.sim.venue.orders.values() if order.trigger is not None]


async def test_a_stop_that_rests_is_definite_by_its_reply_and_is_read_back(stage: Stage) -> None:
    intent = stop_of(stage)
    outcome = await stage.gateway.execute(intent)
    assert (outcome.status, outcome.fills) == (OutcomeStatus.RESTING, ())
    assert (outcome.proof.established_by, outcome.proof.asks) == ("reply", 1)
    (read,) = await stage.gateway.open_stops("ETH/USDC:USDC")
    assert (read.oid, read.cloid) == (outcome.oid, intent.cloid)
    assert (read.coin, read.side, read.size, read.reduce_only) == ("ETH", Side.SELL, Decimal(1), True)
    assert (read.trigger_price, read.limit_price) == (Decimal(3350), Decimal(3000))
    assert (await stage.gateway.account_facts(since_ms=0)).resting == (read,)
    assert await stage.gateway.open_stops("BTC") == ()
    (body,) = stage.sent("order")
    assert (body["nonce"], body["expiresAfter"]) == (intent.nonce, intent.expires_after_ms)


@pytest.mark.parametrize("spoilt", LOST)
async def test_a_stop_whose_reply_is_lost_is_found_at_rest_and_not_repeated(stage: Stage, spoilt: str) -> None:
    stage.proxy.spoil("order", after(SPOILT[spoilt]))
    intent = stop_of(stage)
    for _ in range(2):
        outcome = await place(stage, intent)
        assert (outcome.status, outcome.proof.established_by) == (OutcomeStatus.RESTING, "order_status")
        (read,) = await stage.gateway.open_stops("ETH")
        assert (read.oid, read.cloid) == (outcome.oid, intent.cloid)
    assert stops_of(stage) == ["open"]


@pytest.mark.parametrize("spoilt", LOST)
async def test_a_stop_that_never_arrived_is_fenced_off(stage: Stage, spoilt: str) -> None:
    stage.proxy.spoil("order", SPOILT[spoilt])
    intent = stop_of(stage)
    outcome = await place(stage, intent)
    assert (outcome.status, outcome.proof.established_by) == (OutcomeStatus.NOT_EXECUTED, "noop_fence")
    with pytest.raises(Exception, match="duplicate nonce"):
        await stage.gateway.place(intent)
    assert stops_of(stage) == []


async def test_a_stop_acknowledged_without_its_number_is_found_at_rest(stage: Stage) -> None:
    reply = {"status": "ok", "response": {"type": "order", "data": {"statuses": ["waitingForTrigger"]}}}
    stage.proxy.spoil("order", after(answer(200, json.dumps(reply))))
    outcome = await place(stage, stop_of(stage))
    assert (outcome.status, outcome.proof.established_by) == (OutcomeStatus.RESTING, "order_status")


async def test_a_stop_at_rest_is_found_long_after_its_expiry(stage: Stage) -> None:
    intent = stop_of(stage, expires_after_ms=wall_ms() + 300)
    await place(stage, intent)
    while wall_ms() <= intent.expires_after_ms:
        await stage.gateway.clock_skew_ms()
    outcome = await place(stage, intent)
    assert (outcome.status, outcome.proof.established_by) == (OutcomeStatus.RESTING, "order_status")
    assert len(stage.sent("order")) == 1


async def test_a_stop_that_fired_while_its_reply_was_lost_is_told_with_its_fills(stage: Stage) -> None:
    async def fall(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
        await control(stage.sim, "price", coin="ETH", price="3340")
        return await hang_up(request, raw, forward)

    stage.proxy.spoil("order", after(fall))
    intent = stop_of(stage)
    outcome = await place(stage, intent)
    assert (outcome.status, outcome.filled_size) == (OutcomeStatus.FILLED, Decimal(-1))
    assert [fill.cloid for fill in outcome.fills] == [intent.cloid]


async def test_fills_of_a_stop_are_known_by_its_client_id_and_by_its_number(stage: Stage) -> None:
    intent = stop_of(stage)
    rested = await place(stage, intent)
    await control(stage.sim, "price", coin="ETH", price="3340")
    facts = await stage.gateway.account_facts(since_ms=0)
    assert facts.resting == facts.positions == ()
    fill = facts.fills[-1]
    assert (fill.cloid, fill.oid, fill.size, fill.price) == (intent.cloid, rested.oid, Decimal(-1), Decimal("3339.9"))
    again = await place(stage, intent)
    assert (again.status, again.fills) == (OutcomeStatus.FILLED, (fill,))


@pytest.mark.parametrize(
    ("trigger", "size", "limit", "reason", "text"),
    [
        ("3450", "1", "3000", RejectReason.TRIGGER, "Invalid TP/SL price"),
        ("3350", "1", "3351", RejectReason.TRIGGER, "Invalid TP/SL price"),
        ("3350", "0.002", "3000", RejectReason.RULE, "minimum value of $10"),
        ("3350.05", "1", "3000", RejectReason.RULE, "tick size"),
    ],
)
async def test_a_refused_stop_has_its_reason(
    stage: Stage, trigger: str, size: str, limit: str, reason: RejectReason, text: str
) -> None:
    outcome = await place(stage, stop_of(stage, trigger, size, limit))
    assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, reason)
    assert text in outcome.text


async def test_a_refusal_whose_reply_was_lost_is_read_from_its_record(stage: Stage) -> None:
    stage.proxy.spoil("order", after(hang_up))
    outcome = await place(stage, stop_of(stage, "3460"))
    assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, RejectReason.TRIGGER)
    assert (outcome.proof.established_by, outcome.text) == ("order_status", "badTriggerPxRejected")


def with_status(status: str) -> Spoil:
    """The record as the exchange would have it with another status."""

    async def spoil(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
        found = json.loads(await forward())
        found["order"]["status"] = status
        return web.json_response(found)

    return spoil


async def test_a_stop_that_has_fired_with_no_fill_to_be_seen_was_taken_by_the_exchange(stage: Stage) -> None:
    stage.proxy.spoil("order", after(hang_up))
    stage.proxy.spoil("orderStatus", with_status("triggered"))
    outcome = await place(stage, stop_of(stage))
    assert (outcome.status, outcome.text) == (OutcomeStatus.RESTING, "triggered")


async def test_a_stop_is_cancelled_once_and_said_to_be_so_ever_after(stage: Stage) -> None:
    intent = stop_of(stage)
    await place(stage, intent)
    first, again = await cancel_it(stage, intent.cloid), await cancel_it(stage, intent.cloid)
    assert (first.status, first.proof.established_by) == (CancelStatus.CANCELLED, "reply")
    assert (again.status, again.proof.established_by) == (CancelStatus.CANCELLED, "order_status")
    assert first.text == again.text == "canceled" and first.fills == again.fills == ()
    assert await stage.gateway.open_stops("ETH") == ()
    await control(stage.sim, "price", coin="ETH", price="3340")
    assert (await stage.gateway.get_position("ETH")).size == 1


@pytest.mark.parametrize("reached", [True, False])
@pytest.mark.parametrize("spoilt", [*LOST, "429"])
async def test_a_cancel_that_is_not_answered_is_sent_until_it_is(stage: Stage, spoilt: str, reached: bool) -> None:
    intent = stop_of(stage)
    await place(stage, intent)
    stage.proxy.spoil("cancelByCloid", after(SPOILT[spoilt]) if reached else SPOILT[spoilt])
    outcome = await cancel_it(stage, intent.cloid)
    assert outcome.status is CancelStatus.CANCELLED
    assert stops_of(stage) == ["canceled"]
    assert len(stage.sent("cancelByCloid")) == 2


async def test_a_cancel_whose_nonce_is_spent_is_sent_with_another(stage: Stage) -> None:
    intent = stop_of(stage)
    await place(stage, intent)
    reply = {"status": "err", "response": "Invalid nonce: duplicate nonce 1795319623216"}
    stage.proxy.spoil("cancelByCloid", answer(200, json.dumps(reply)))
    outcome = await cancel_it(stage, intent.cloid)
    assert outcome.status is CancelStatus.CANCELLED
    assert stops_of(stage) == ["canceled"]


async def test_a_stop_that_fired_before_its_cancel_is_told_with_its_fills(stage: Stage) -> None:
    intent = stop_of(stage)
    await place(stage, intent)
    await control(stage.sim, "price", coin="ETH", price="3340")
    outcome = await stage.gateway.cancel_order("ETH", intent.cloid, since_ms=intent.nonce)
    assert outcome.status is CancelStatus.FIRED
    assert [(fill.cloid, fill.size) for fill in outcome.fills] == [(intent.cloid, Decimal(-1))]


async def test_a_stop_that_ended_with_its_position_counts_as_cancelled(stage: Stage) -> None:
    intent = stop_of(stage)
    await place(stage, intent)
    await stage.gateway.close_position("ETH")
    outcome = await cancel_it(stage, intent.cloid)
    assert (outcome.status, outcome.text) == (CancelStatus.CANCELLED, "reduceOnlyCanceled")


async def test_a_stop_that_nobody_placed_is_not_found(stage: Stage) -> None:
    outcome = await cancel_it(stage, "0x" + "99" * 16)
    assert (outcome.status, outcome.fills) == (CancelStatus.NOT_FOUND, ())


async def test_a_stop_forgotten_by_the_exchange_is_known_by_its_fills(stage: Stage) -> None:
    intent = stop_of(stage)
    await place(stage, intent)
    await control(stage.sim, "price", coin="ETH", price="3340")
    stage.proxy.spoil("orderStatus", *[answer(200, '{"status": "unknownOid"}')] * 1000)
    outcome = await cancel_it(stage, intent.cloid)
    assert (outcome.status, outcome.proof.established_by) == (CancelStatus.FIRED, "fills")


async def test_a_record_that_contradicts_the_cancel_leaves_it_unknown(stage: Stage) -> None:
    intent = stop_of(stage)
    await place(stage, intent)
    await cancel_it(stage, intent.cloid)
    stage.proxy.spoil("orderStatus", *[with_status("open")] * 1000)
    with pytest.raises(Unknown, match="could not be cancelled, and is still open"):
        await cancel_it(stage, intent.cloid)


async def test_a_cancel_by_a_signer_without_account_is_refused(stage: Stage) -> None:
    intent = stop_of(stage)
    await place(stage, intent)
    stage.sim.venue.accounts.clear()
    with pytest.raises(Rejected, match="does not exist"):
        await cancel_it(stage, intent.cloid)


@pytest.mark.parametrize("seed", range(12))
async def test_no_course_of_faults_makes_two_stops_or_a_false_end(stage: Stage, seed: int) -> None:
    """Faults of every kind on every request, a fall of the price at any moment, and runs of the same at once."""
    chance = random.Random(seed)

    def fault(kind: str) -> Spoil:
        # To a noop, "other shape" is the true answer: that would be a lie, not a fault.
        spoil = SPOILT[chance.choice([name for name in SPOILT if (kind, name) != ("noop", "200 other shape")])]
        return after(spoil) if chance.random() < 0.5 else spoil

    for kind, most in (("order", 3), ("noop", 2), ("orderStatus", 2), ("userFillsByTime", 2), ("cancelByCloid", 3)):
        stage.proxy.spoil(kind, *[fault(kind) for _ in range(chance.randint(0, most))])
    intent = stop_of(stage, expires_after_ms=wall_ms() + 300)

    async def placed() -> OrderOutcome:
        while True:
            try:
                return await place(stage, intent)
            except (NotSent, Unknown):
                continue

    async def cancelled() -> CancelOutcome:
        while True:
            try:
                return await cancel_it(stage, intent.cloid)
            except (NotSent, Unknown, Rejected):
                continue

    first, second = await asyncio.gather(placed(), placed())
    taken = stops_of(stage)
    assert len(taken) <= 1
    assert first.status is second.status is (OutcomeStatus.RESTING if taken else OutcomeStatus.NOT_EXECUTED) or (
        # A body that was refused as unreadable was never an order.
        not taken and {first.status, second.status} <= {OutcomeStatus.NOT_EXECUTED, OutcomeStatus.REJECTED}
    )
    falls = control(stage.sim, "price", coin="ETH", price="3340" if chance.random() < 0.5 else "3400")
    one, two, _ = await asyncio.gather(cancelled(), cancelled(), falls)
    held = (await stage.gateway.get_position("ETH")).size
    for outcome in (one, two, await cancelled()):
        assert (outcome.status is CancelStatus.FIRED) == (held == 0)
        assert (outcome.status is CancelStatus.NOT_FOUND) == (not taken)
        assert sum(fill.size for fill in outcome.fills) == held - 1
    assert stops_of(stage) in ([], ["canceled"], ["filled"])
