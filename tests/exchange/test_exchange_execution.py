"""Exactly once, checked on the venue's own books: whatever gets lost, one intent is one order or none."""

import asyncio
import json
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from exchange.asking import Patience, WallClock
from exchange.errors import NotSent, RejectReason, Unknown
from exchange.execution import execute
from exchange.gateway import HyperliquidGateway
from exchange.nonces import wall_ms
from exchange.port import Intent, OrderOutcome, OutcomeStatus, Side
from exchange.signing import LostKey
from simulator.config import Depth
from tests.exchange.conftest import Stage, StartStage, control
from tests.exchange.spoiling import SPOILT, Forward, Spoil, after, hang_up

ROOT = Path(__file__).parents[2]
SHORT = Patience(visible_after_s=0.15, skew_s=0, give_up_after_s=5, pause_s=0.005, pause_max_s=0.05)
"""For a venue on the same machine, with the same clock."""
SENT_AGAIN = {"429", "rate limit text"}
"""What says that the order was not taken, so that it is sent again."""


class BehindClock(WallClock):
    """A machine whose clock is 30 s late."""

    def now_ms(self) -> int:
        return super().now_ms() - 30_000


def shortly() -> int:
    """An expiry that is over before patience is."""
    return wall_ms() + 300


async def check_executed_once(stage: Stage, intent: Intent, outcome: OrderOutcome) -> None:
    (order,) = stage.accepted()
    assert (order.cloid, order.nonce) == (intent.cloid, intent.nonce)
    assert outcome.status is OutcomeStatus.FILLED and outcome.cloid == intent.cloid
    recorded = stage.sim.venue.fills_of[intent.account]
    assert [fill.tid for fill in outcome.fills] == [fill.tid for fill in recorded]
    assert outcome.filled_size == (await stage.gateway.get_position("ETH")).size
    assert outcome.fee_usd == sum(fill.fee_usd for fill in recorded)


async def test_plain_order_is_definite_by_its_reply(stage: Stage) -> None:
    intent = stage.intent()
    outcome = await stage.gateway.execute(intent)
    await check_executed_once(stage, intent, outcome)
    assert (outcome.proof.established_by, outcome.proof.asks) == ("reply", 2)
    assert len(stage.sent("order")) == 1 and stage.sent("noop") == []
    (body,) = stage.sent("order")
    assert (body["nonce"], body["expiresAfter"]) == (intent.nonce, intent.expires_after_ms)


async def test_fills_of_an_order_are_found_where_our_clock_is_far_ahead(stage: Stage) -> None:
    ahead_ms = wall_ms() + 20_000
    intent = stage.intent(nonce=ahead_ms, expires_after_ms=ahead_ms + 5_000)
    outcome = await stage.gateway.execute(intent)
    await check_executed_once(stage, intent, outcome)
    assert outcome.proof.established_by == "reply"


async def test_one_orders_fills_are_not_asked_for_among_a_minute_of_the_accounts(stage: Stage) -> None:
    intent = stage.intent()
    await stage.gateway.execute(intent)
    (asked,) = [body for body in stage.proxy.seen if body.get("type") == "userFillsByTime"]
    assert intent.nonce - asked["startTime"] <= 1_000


@pytest.mark.parametrize("spoilt", list(SPOILT))
async def test_order_whose_reply_is_lost_after_it_was_accepted_is_found_and_not_repeated(
    stage: Stage, spoilt: str
) -> None:
    stage.proxy.spoil("order", after(SPOILT[spoilt]))
    intent = stage.intent()
    outcome = await execute(stage.gateway, intent, patience=SHORT)
    await check_executed_once(stage, intent, outcome)
    assert outcome.proof.established_by == "order_status"
    again = await execute(stage.gateway, intent, patience=SHORT)
    await check_executed_once(stage, intent, again)


@pytest.mark.parametrize("spoilt", list(SPOILT))
async def test_order_that_never_arrived_is_sent_again_if_that_is_known_and_fenced_off_if_not(
    stage: Stage, spoilt: str
) -> None:
    stage.proxy.spoil("order", SPOILT[spoilt])
    intent = stage.intent()
    outcome = await execute(stage.gateway, intent, patience=SHORT)
    if spoilt in SENT_AGAIN:
        await check_executed_once(stage, intent, outcome)
        return
    expected = OutcomeStatus.REJECTED if spoilt == "422" else OutcomeStatus.NOT_EXECUTED
    assert (outcome.status, outcome.proof.established_by) == (expected, "noop_fence")
    assert outcome.fills == () and stage.accepted() == []
    # Should the bytes still be under way somewhere, they can do nothing any more.
    with pytest.raises(Exception, match="duplicate nonce"):
        await stage.gateway.place(intent)
    assert stage.accepted() == []


async def test_reply_lost_by_the_simulators_own_fault_leaves_one_accepted_order(stage: Stage) -> None:
    await control(stage.sim, "faults", kind="drop_reply", match={"action": "order"})
    intent = stage.intent()
    outcome = await execute(stage.gateway, intent, patience=SHORT)
    await check_executed_once(stage, intent, outcome)
    verdicts = [entry.verdict for entry in stage.sim.request_log.entries if entry.type == "order"]
    assert verdicts == ["ok, reply dropped"]


async def test_fence_whose_own_reply_is_lost_still_ends_as_not_executed(stage: Stage) -> None:
    stage.proxy.spoil("order", hang_up)
    stage.proxy.spoil("noop", after(hang_up), SPOILT["500"])
    outcome = await execute(stage.gateway, stage.intent(expires_after_ms=shortly()), patience=SHORT)
    assert (outcome.status, outcome.proof.established_by) == (OutcomeStatus.NOT_EXECUTED, "expired_without_record")
    assert stage.accepted() == []


async def test_running_it_again_after_a_fence_gives_the_same_end(stage: Stage) -> None:
    stage.proxy.spoil("order", hang_up)
    intent = stage.intent(expires_after_ms=shortly())
    first = await execute(stage.gateway, intent, patience=SHORT)
    again = await execute(stage.gateway, intent, patience=SHORT)
    assert first.status is again.status is OutcomeStatus.NOT_EXECUTED
    assert stage.accepted() == []


async def test_record_and_fills_that_are_late_are_waited_for(stage_of: StartStage) -> None:
    stage = await stage_of(visibility_lag_ms=400)
    stage.proxy.spoil("order", after(hang_up))
    intent = stage.intent()
    outcome = await execute(stage.gateway, intent, patience=Patience())
    await check_executed_once(stage, intent, outcome)
    assert outcome.proof.asks > 5


async def test_lost_partial_fill_is_reported_with_what_it_filled(stage_of: StartStage) -> None:
    stage = await stage_of(usd="100000", depth=Depth(levels=2, size_usd=Decimal(3450)))
    stage.proxy.spoil("order", after(hang_up))
    intent = stage.intent(size="5")
    outcome = await execute(stage.gateway, intent, patience=SHORT)
    await check_executed_once(stage, intent, outcome)
    assert 0 < outcome.filled_size < 5 and len(outcome.fills) == 2


@pytest.mark.parametrize(
    ("terms", "reason", "text"),
    [
        ({"price": "3400"}, RejectReason.NO_MATCH, "could not immediately match"),
        ({"size": "400"}, RejectReason.MARGIN, "Insufficient margin"),
        ({"price": "3460.05"}, RejectReason.RULE, "tick size"),
        ({"size": "0.002"}, RejectReason.RULE, "minimum value of $10"),
        ({"reduce_only": True}, RejectReason.RULE, "Reduce only order would increase position"),
    ],
)
async def test_refusal_has_its_reason_and_the_exchanges_own_words(
    stage: Stage, terms: dict[str, Any], reason: RejectReason, text: str
) -> None:
    outcome = await execute(stage.gateway, stage.intent(**terms), patience=SHORT)
    assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, reason)
    assert text in outcome.text and outcome.proof.asks == 1
    assert stage.accepted() == []


async def test_refusal_whose_reply_was_lost_is_read_from_its_record(stage: Stage) -> None:
    stage.proxy.spoil("order", after(hang_up))
    outcome = await execute(stage.gateway, stage.intent(price="3400"), patience=SHORT)
    assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, RejectReason.NO_MATCH)
    assert (outcome.proof.established_by, outcome.text) == ("order_status", "iocCancelRejected")


async def test_refusal_that_left_no_record_is_established_after_its_expiry(stage: Stage) -> None:
    stage.proxy.spoil("order", after(hang_up))
    intent = stage.intent(price="3460.05", expires_after_ms=shortly())
    outcome = await execute(stage.gateway, intent, patience=SHORT)
    assert (outcome.status, outcome.proof.established_by) == (OutcomeStatus.NOT_EXECUTED, "expired_without_record")
    assert outcome.proof.established_at_ms > intent.expires_after_ms


async def test_expired_intent_is_fenced_and_not_sent(stage: Stage) -> None:
    outcome = await execute(stage.gateway, stage.intent(expires_after_ms=wall_ms()), patience=SHORT)
    assert (outcome.status, outcome.proof.established_by) == (OutcomeStatus.NOT_EXECUTED, "noop_fence")
    assert stage.sent("order") == [] and len(stage.sent("noop")) == 1


async def test_expired_intent_that_had_executed_before_is_found(stage: Stage) -> None:
    intent = stage.intent(expires_after_ms=shortly())
    await execute(stage.gateway, intent, patience=SHORT)
    while wall_ms() <= intent.expires_after_ms:
        await stage.gateway.clock_skew_ms()
    outcome = await execute(stage.gateway, intent, patience=SHORT)
    await check_executed_once(stage, intent, outcome)
    assert len(stage.sent("order")) == 1


async def test_order_forgotten_by_the_exchange_is_found_by_its_fills(stage: Stage) -> None:
    intent = stage.intent(expires_after_ms=shortly())
    await execute(stage.gateway, intent, patience=SHORT)
    stage.proxy.spoil("orderStatus", *[_unknown_oid] * 1000)
    outcome = await execute(stage.gateway, intent, patience=SHORT)
    await check_executed_once(stage, intent, outcome)
    assert outcome.proof.established_by == "fills"


async def _unknown_oid(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
    return web.json_response({"status": "unknownOid"})


async def test_late_clock_of_ours_sends_an_expired_order_and_learns_that_it_was_refused(stage: Stage) -> None:
    intent = stage.intent(expires_after_ms=wall_ms() - 100)
    outcome = await execute(stage.gateway, intent, clock=BehindClock(), patience=SHORT)
    assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, RejectReason.EXPIRED)
    assert len(stage.sent("order")) == 1 and stage.accepted() == []


async def test_nonce_below_the_window_is_refused_for_good(stage: Stage) -> None:
    old = stage.intent(nonce=wall_ms() - 3 * 86_400_000)
    outcome = await execute(stage.gateway, old, patience=SHORT)
    assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, RejectReason.NONCE)
    assert "nonce too low" in outcome.text


async def test_signer_without_account_is_refused_in_the_exchanges_words(stage_of: StartStage) -> None:
    stage = await stage_of()
    stage.sim.venue.accounts.clear()
    outcome = await execute(stage.gateway, stage.intent(expires_after_ms=shortly()), patience=SHORT)
    assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, RejectReason.RULE)
    assert "does not exist" in outcome.text


@pytest.mark.parametrize("field", ["signer", "account"])
async def test_intent_of_another_key_is_left_alone(stage: Stage, field: str) -> None:
    intent = stage.intent().model_copy(update={field: "0x" + "09" * 20})
    with pytest.raises(NotSent, match=f"order {intent.cloid} is signed by"):
        await stage.gateway.execute(intent)
    assert [body for body in stage.proxy.seen if "action" in body] == []


async def test_exchange_that_stays_silent_leaves_it_unknown_and_a_later_run_settles_it(stage: Stage) -> None:
    stage.proxy.spoil("order", after(hang_up))
    stage.proxy.spoil("noop", *[hang_up] * 1000)
    intent = stage.intent()
    impatient = Patience(give_up_after_s=0.2, pause_s=0.01)
    with pytest.raises(Unknown, match=f"what became of order {intent.cloid} is not established"):
        await execute(stage.gateway, intent, patience=impatient)
    stage.proxy.spoilt.clear()
    await check_executed_once(stage, intent, await execute(stage.gateway, intent, patience=SHORT))


async def test_question_that_is_refused_never_reads_as_a_refused_order(stage: Stage) -> None:
    stage.proxy.spoil("order", after(hang_up))
    stage.proxy.spoil("orderStatus", SPOILT["422"])
    with pytest.raises(Unknown, match="could not be asked"):
        await execute(stage.gateway, stage.intent(), patience=SHORT)


async def test_order_that_may_not_be_sent_before_its_expiry_is_fenced_off(stage: Stage) -> None:
    stage.proxy.spoil("order", *[SPOILT["429"]] * 1000)
    outcome = await execute(stage.gateway, stage.intent(expires_after_ms=shortly()), patience=SHORT)
    assert (outcome.status, outcome.proof.established_by) == (OutcomeStatus.NOT_EXECUTED, "noop_fence")
    assert len(stage.sent("order")) > 3 and stage.accepted() == []


def with_status(status: str, remaining: str) -> Spoil:
    """The record as the exchange would have it with another status and remaining size."""

    async def spoil(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
        answer = json.loads(await forward())
        answer["order"]["status"] = status
        answer["order"]["order"]["sz"] = remaining
        return web.json_response(answer)

    return spoil


async def test_cancelled_rest_of_an_order_counts_with_what_it_had_filled(stage: Stage) -> None:
    stage.proxy.spoil("order", after(hang_up))
    stage.proxy.spoil("orderStatus", with_status("open", "0.02"), with_status("marginCanceled", "0.01"))
    real = stage.intent()
    outcome = await execute(stage.gateway, real, patience=SHORT)
    await check_executed_once(stage, real, outcome)


async def test_order_cancelled_before_any_fill_is_refused_with_its_status(stage: Stage) -> None:
    stage.proxy.spoil("order", after(hang_up))
    stage.proxy.spoil("orderStatus", with_status("marginCanceled", "0.01"))
    outcome = await execute(stage.gateway, stage.intent(price="3400"), patience=SHORT)
    assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, RejectReason.MARGIN)
    assert outcome.text == "marginCanceled"


@pytest.mark.parametrize(("status", "text"), [("open", "is still open"), ("filled", "its fills can't be read yet")])
async def test_record_that_says_neither_end_leaves_it_unknown(stage: Stage, status: str, text: str) -> None:
    stage.proxy.spoil("order", after(hang_up))
    stage.proxy.spoil("orderStatus", *[with_status(status, "0.0")] * 1000)
    with pytest.raises(Unknown, match=text):
        await execute(stage.gateway, stage.intent(price="3400", expires_after_ms=shortly()), patience=SHORT)


async def test_fills_that_do_not_add_up_leave_it_unknown(stage: Stage) -> None:
    async def none(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
        return web.json_response([])

    stage.proxy.spoil("userFillsByTime", *[none] * 1000)
    intent = stage.intent()
    with pytest.raises(Unknown, match=r"filled 0.01, but only 0 of it can be read yet"):
        await execute(stage.gateway, intent, patience=SHORT)
    stage.proxy.spoilt.clear()
    await check_executed_once(stage, intent, await execute(stage.gateway, intent, patience=SHORT))


@pytest.mark.parametrize("seed", range(40))
async def test_no_course_of_faults_makes_two_orders_or_a_false_end(stage: Stage, seed: int) -> None:
    """Faults of every kind on every request, and three runs of the same intent at once and one after them."""
    chance = random.Random(seed)

    def fault(kind: str) -> Spoil:
        # To a noop, "other shape" is the true answer: that would be a lie, not a fault.
        spoil = SPOILT[chance.choice([name for name in SPOILT if (kind, name) != ("noop", "200 other shape")])]
        return after(spoil) if chance.random() < 0.5 else spoil

    for kind, most in (("order", 3), ("noop", 3), ("orderStatus", 2), ("userFillsByTime", 2)):
        stage.proxy.spoil(kind, *[fault(kind) for _ in range(chance.randint(0, most))])
    side, price = chance.choice([(Side.BUY, "3460"), (Side.SELL, "3440"), (Side.BUY, "3400")])
    intent = stage.intent(side, price=price, expires_after_ms=shortly())

    async def run() -> OrderOutcome:
        while True:
            try:
                return await execute(stage.gateway, intent, patience=SHORT)
            except (NotSent, Unknown):
                continue

    outcomes = [*await asyncio.gather(run(), run(), run()), await run()]
    accepted = stage.accepted()
    assert len(accepted) <= 1
    for outcome in outcomes:
        assert (outcome.status is OutcomeStatus.FILLED) == bool(accepted)
        assert outcome.fills == outcomes[0].fills
    assert outcomes[0].filled_size == (await stage.gateway.get_position("ETH")).size


async def start_process(stage: Stage, intent: Intent) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.exchange.executing", cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    given = {"settings": stage.settings.model_dump(mode="json"), "intent": intent.model_dump(mode="json")}
    assert process.stdin is not None
    process.stdin.write(json.dumps(given).encode())
    process.stdin.close()
    return process


async def outcome_of(process: Process) -> OrderOutcome:
    assert process.stdout is not None
    text = await process.stdout.read()
    assert await process.wait() == 0
    return OrderOutcome.model_validate_json(text)


@pytest.fixture
def key_file(stage: Stage) -> None:
    """Other processes find the key where a paper network keeps it."""
    file = stage.settings.state_dir / "paper.key"
    file.touch(mode=0o600)
    file.write_text("0x" + "a1" * 32)


@pytest.mark.usefixtures("key_file")
async def test_processes_that_execute_the_same_intent_at_once_make_one_order(stage: Stage) -> None:
    intent = stage.intent(expires_after_ms=wall_ms() + 20_000)
    processes = [await start_process(stage, intent) for _ in range(3)]
    outcomes = await asyncio.gather(*(outcome_of(process) for process in processes))
    for outcome in outcomes:
        await check_executed_once(stage, intent, outcome)
    assert len(stage.sent("order")) == 3
    assert sorted(outcome.proof.established_by for outcome in outcomes) == ["order_status", "order_status", "reply"]


@pytest.mark.usefixtures("key_file")
@pytest.mark.parametrize("accepted", [True, False])
async def test_process_killed_while_its_order_is_out_is_followed_by_one_that_settles_it(
    stage: Stage, accepted: bool
) -> None:
    arrived, released = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
        if accepted:
            await forward()
        arrived.set()
        await released.wait()
        return web.Response()

    stage.proxy.spoil("order", hold)
    intent = stage.intent(expires_after_ms=wall_ms() + 20_000)
    killed = await start_process(stage, intent)
    await asyncio.wait_for(arrived.wait(), timeout=30)
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    released.set()
    outcome = await outcome_of(await start_process(stage, intent))
    await check_executed_once(stage, intent, outcome)
    assert outcome.proof.established_by == ("order_status" if accepted else "reply")


async def test_what_a_lost_key_had_signed_is_settled_by_looking_but_not_before_its_expiry(stage: Stage) -> None:
    lost = HyperliquidGateway.connect(stage.settings, key=LostKey(stage.key.address))
    taken, never = stage.intent(), stage.intent(expires_after_ms=shortly())
    await stage.gateway.place(taken)
    outcome = await execute(lost, taken, patience=SHORT)
    await check_executed_once(stage, taken, outcome)
    assert outcome.proof.established_by == "order_status"
    ended = await execute(lost, never, patience=SHORT)
    assert ended.proof.established_at_ms > never.expires_after_ms
    assert (ended.status, ended.reason) == (OutcomeStatus.REJECTED, RejectReason.NONCE), "worth another intent"
    assert len(stage.sent("order")) == 1 and not stage.sent("noop")
    await lost.close()
