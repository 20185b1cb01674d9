"""The judge is judged: it takes a clean run, and objects to every way of being wrong that it is there for."""

import copy
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sweep.checker import baseline_of, check
from sweep.judged import AccountProof, Baseline, Evidence, Limits, Resting, Step, Touch

SIGNER = "0x" + "a" * 40
FOREIGNER = "0x" + "b" * 40
COIN = "ETH"
DEPOSIT = Decimal(1000)
ASSET = 1
FLAT_AT_MS = 2500
SENT_MS = {1: 1000, 2: 2000, 4: 4000}
"""When order number N was sent, accepted and filled; any other at one and a half seconds: 4 is after the proof."""


def cloid(number: int) -> str:
    return f"0x{number:032x}"


def sent_ms(number: int) -> int:
    return SENT_MS.get(number, 1500)


def order(number: int, side: str, size: str) -> dict[str, Any]:
    """An accepted IOC that filled whole, as `/control/ledger` shows it."""
    return {
        "order": {"coin": COIN, "side": side, "origSz": size, "sz": "0.0", "oid": number, "cloid": cloid(number)},
        "status": "filled",
        "statusTimestamp": sent_ms(number),
        "signer": SIGNER,
        "nonce": 1000 + number,
        "coin": COIN,
        "cloid": cloid(number),
        "oid": number,
    }


def fill(number: int, side: str, size: str, price: str, closed_pnl: str = "0.0", fee: str = "0.5") -> dict[str, Any]:
    return {
        "coin": COIN,
        "side": side,
        "sz": size,
        "px": price,
        "closedPnl": closed_pnl,
        "fee": fee,
        "time": sent_ms(number),
        "oid": number,
        "tid": number,
        "cloid": cloid(number),
    }


def request(number: int, verdict: str = "ok", kind: str = "order", signer: str = SIGNER) -> dict[str, Any]:
    action = {"type": kind, "orders": [{"a": ASSET, "c": cloid(number)}]} if kind == "order" else {"type": kind}
    # What it never looked at, it does not know the signer of.
    known = None if verdict.startswith("not executed") else signer
    body = {"action": action, "nonce": 1000 + number, "expiresAfter": 6000}
    return {"type": kind, "signer": known, "verdict": verdict, "body": body, "received_ms": sent_ms(number)}


def clean_run() -> Evidence:
    """Bought 2 at 100, sold 2 at 110: +20 - 1 in fees. The second order's first sending got no reply."""
    return Evidence(
        coin=COIN,
        signer=SIGNER,
        ledger={
            "depositsUsd": str(DEPOSIT),
            "transfersUsd": "0.0",
            "fundingUsd": "0.0",
            "accountValueUsd": "1019.0",
            "positions": {},
            "acceptedOrders": [order(1, "B", "2.0"), order(2, "A", "2.0")],
            "refusedOrders": [],
            "liquidationOids": [],
            "fills": [fill(1, "B", "2.0", "100.0"), fill(2, "A", "2.0", "110.0", closed_pnl="20.0")],
        },
        requests=[request(1), request(2, "ok, reply dropped"), request(2, "err")],
        account={"marginSummary": {"accountValue": "1019.0"}, "assetPositions": []},
        steps=(Step("opening", Decimal(2), 0.1), Step("close", Decimal(0), 3.2, recovered_s=3.0)),
        told_pnl_usd=Decimal(19),
        earned_usd=Decimal(19),
        decisions=({"price": "100", "order_qty": "2"}, {"price": "110", "order_qty": "-2"}),
        asset=ASSET,
        flat_at_ms=FLAT_AT_MS,
        proof_due=True,
    )


def touched_run() -> Evidence:
    """A hand buys 1 at 100 between the two orders, at 1.4 s; at 1.8 s the trade is answered, and then sells all 3."""
    clean = clean_run()
    ledger = copy.deepcopy(clean.ledger)
    hand = order(3, "B", "1.0") | {"statusTimestamp": 1400}
    ledger["acceptedOrders"] = [order(1, "B", "2.0"), hand, order(2, "A", "3.0")]
    ledger["fills"] = [
        fill(1, "B", "2.0", "100.0"),
        fill(3, "B", "1.0", "100.0", fee="0.0") | {"time": 1400},
        fill(2, "A", "3.0", "110.0", closed_pnl="30.0"),
    ]
    ledger["accountValueUsd"] = "1029.0"
    return replace(
        clean,
        ledger=ledger,
        requests=[*clean.requests, request(3) | {"received_ms": 1400}],
        account={"marginSummary": {"accountValue": "1029.0"}, "assetPositions": []},
        touches=(Touch(frozenset({3}), from_ms=1400, to_ms=1800),),
        told_pnl_usd=Decimal(29),
        earned_usd=Decimal(29),
    )


STOP = Resting(Decimal("-2.0"), Decimal("90.0"), reduce_only=True)


def stop(number: int = 5, *, reduce_only: bool = True) -> dict[str, Any]:
    """A stop for what the opening bought, taken off at the close."""
    shape = order(number, "A", "2.0") | {"status": "canceled", "triggerPx": "90.0", "reduceOnly": reduce_only}
    shape["order"]["sz"] = "2.0"
    return shape


def guarded_run(*, rests: tuple[Resting, ...] = (STOP,), stops: tuple[dict[str, Any], ...] = (stop(),)) -> Evidence:
    """The clean run with a backstop between its two orders."""
    clean = clean_run()
    ledger = clean.ledger | {"acceptedOrders": [*clean.ledger["acceptedOrders"], *stops]}
    steps = (replace(clean.steps[0], resting=rests), clean.steps[1])
    return replace(clean, ledger=ledger, steps=steps, guarded=True)


BASELINE: Baseline = baseline_of(clean_run())
Spoil = Callable[[dict[str, Any]], None]


def rules_broken(evidence: Evidence, limits: Limits | None = None) -> set[str]:
    return {violation.rule for violation in check(evidence, BASELINE, limits)}


def spoilt(spoil: Spoil) -> Evidence:
    """The clean run with its ledger changed."""
    clean = clean_run()
    ledger = copy.deepcopy(clean.ledger)
    spoil(ledger)
    return replace(clean, ledger=ledger)


def test_a_clean_run_is_accepted() -> None:
    assert check(clean_run(), BASELINE) == []


def test_an_order_accepted_twice_under_one_client_id_is_seen() -> None:
    def double(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"].append(order(2, "A", "2.0") | {"oid": 3, "nonce": 1003})

    assert "doubled" in rules_broken(spoilt(double))


def test_two_orders_with_one_nonce_of_a_signer_are_seen() -> None:
    def double(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"].append(order(3, "A", "2.0") | {"nonce": 1002})

    assert "doubled" in rules_broken(spoilt(double))


def test_a_second_order_for_the_same_decision_is_seen_though_it_has_names_of_its_own() -> None:
    def double(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"].append(order(3, "A", "2.0"))
        ledger["fills"].append(fill(3, "A", "2.0", "110.0"))
        ledger["positions"][COIN] = "-2.0"

    assert "decisions" in rules_broken(spoilt(double))


def test_an_order_without_a_client_id_is_seen() -> None:
    def anonymous(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"][0]["cloid"] = None

    assert "doubled" in rules_broken(spoilt(anonymous))


def test_an_order_of_a_foreign_signer_is_seen() -> None:
    def foreign(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"][1]["signer"] = FOREIGNER

    assert rules_broken(spoilt(foreign)) == {"foreign signer"}


@pytest.mark.parametrize("which", [0, 1])
def test_a_lost_fill_is_seen(which: int) -> None:
    def lose(ledger: dict[str, Any]) -> None:
        del ledger["fills"][which]

    assert "lost fill" in rules_broken(spoilt(lose))


def test_a_fill_told_twice_is_seen() -> None:
    def double(ledger: dict[str, Any]) -> None:
        ledger["fills"].append(ledger["fills"][0])

    assert {"doubled", "lost fill"} <= rules_broken(spoilt(double))


def test_a_cent_too_much_in_the_ledger_is_seen() -> None:
    def add_a_cent(ledger: dict[str, Any]) -> None:
        ledger["accountValueUsd"] = "1019.01"

    assert rules_broken(spoilt(add_a_cent)) == {"money"}


def test_a_cent_too_little_in_the_account_is_seen() -> None:
    account = {"marginSummary": {"accountValue": "1018.99"}, "assetPositions": []}
    assert rules_broken(replace(clean_run(), account=account)) == {"money"}


def test_a_trade_that_tells_another_profit_than_the_account_made_is_seen() -> None:
    assert rules_broken(replace(clean_run(), told_pnl_usd=Decimal("19.01"))) == {"money"}


def test_funding_and_what_is_still_held_are_part_of_the_equation() -> None:
    def hold(ledger: dict[str, Any]) -> None:
        del ledger["fills"][1], ledger["acceptedOrders"][1]
        ledger.update(fundingUsd="-3.0", accountValueUsd="1006.5", positions={COIN: "2.0"})

    account = {
        "marginSummary": {"accountValue": "1006.5"},
        "assetPositions": [{"position": {"unrealizedPnl": "10.0"}}],
    }
    held = replace(spoilt(hold), account=account, told_pnl_usd=None)
    assert "money" not in rules_broken(held)
    assert "money" in rules_broken(replace(held, ledger=held.ledger | {"fundingUsd": "0.0"}))


@pytest.mark.parametrize(
    "verdict", ["not executed, request dropped", "not executed, answered 502", "ok, reply dropped"]
)
def test_an_order_that_was_sent_and_never_settled_is_seen(verdict: str) -> None:
    clean = clean_run()
    assert rules_broken(replace(clean, requests=[*clean.requests, request(9, verdict)])) == {"unresolved"}


@pytest.mark.parametrize(
    "settled_by",
    [request(9, kind="noop"), request(9, "ok, reply dropped", kind="noop"), request(9, "err")],
    ids=["noop", "noop whose reply was lost", "refusal"],
)
def test_an_order_is_settled_by_a_spent_nonce_or_a_refusal(settled_by: dict[str, Any]) -> None:
    clean = clean_run()
    dropped = request(9, "not executed, request dropped")
    assert check(replace(clean, requests=[*clean.requests, dropped, settled_by]), BASELINE) == []


def test_a_nonce_spent_by_another_signer_settles_nothing() -> None:
    clean = clean_run()
    requests = [*clean.requests, request(9, "not executed, request dropped"), request(9, kind="noop", signer=FOREIGNER)]
    assert rules_broken(replace(clean, requests=requests)) == {"unresolved"}


def test_an_expired_order_is_settled_only_where_nothing_else_can_be_had() -> None:
    clean = clean_run()
    lost = [*clean.requests, request(9, "not executed, answered duplicate nonce")]
    expired = replace(clean, requests=lost, at_ms=6001)
    assert rules_broken(expired) == {"unresolved"}
    assert rules_broken(expired, Limits(expiry_settles=True)) == set()
    assert rules_broken(replace(expired, at_ms=6000), Limits(expiry_settles=True)) == {"unresolved"}


def test_a_noop_that_was_not_executed_settles_nothing() -> None:
    clean = clean_run()
    lost = [request(9, "not executed, request dropped"), request(9, "not executed, answered 502", kind="noop")]
    assert rules_broken(replace(clean, requests=[*clean.requests, *lost])) == {"unresolved"}


def test_a_wrong_position_is_seen_at_the_end_and_on_the_way() -> None:
    clean = clean_run()
    for wrong in (0, 1):
        steps = list(clean.steps)
        steps[wrong] = replace(steps[wrong], net_size=Decimal("0.5"))
        assert rules_broken(replace(clean, steps=tuple(steps))) == {"position"}


def test_a_run_that_ended_early_is_seen() -> None:
    clean = clean_run()
    assert rules_broken(replace(clean, steps=clean.steps[:1])) == {"position"}


def test_another_decision_is_seen() -> None:
    clean = clean_run()
    other = (clean.decisions[0], clean.decisions[1] | {"order_qty": "-1"})
    assert rules_broken(replace(clean, decisions=other)) == {"decisions"}


def test_a_decision_carried_out_by_a_second_order_is_the_same_decision() -> None:
    clean = clean_run()
    assert check(replace(clean, decisions=(*clean.decisions, clean.decisions[-1])), BASELINE) == []


def test_an_order_split_by_the_exchange_is_accepted_only_where_that_is_its_doing() -> None:
    def split(ledger: dict[str, Any]) -> None:
        first, second = order(2, "A", "1.5"), order(3, "A", "0.5")
        ledger["acceptedOrders"][1:] = [first, second]
        ledger["fills"][1:] = [fill(2, "A", "1.5", "110.0", "15.0"), fill(3, "A", "0.5", "110.0", "5.0", fee="0.0")]

    assert rules_broken(spoilt(split)) == {"decisions"}
    assert rules_broken(spoilt(split), Limits(same_orders=False)) == set()


def test_a_late_recovery_is_seen() -> None:
    clean = clean_run()
    late = (clean.steps[0], replace(clean.steps[1], recovered_s=30.1))
    assert rules_broken(replace(clean, steps=late)) == {"late"}


def test_a_step_held_up_by_an_earlier_fault_is_seen() -> None:
    clean = clean_run()
    late = (replace(clean.steps[0], took_s=30.1), clean.steps[1])
    assert rules_broken(replace(clean, steps=late)) == {"late"}


def test_a_hand_and_its_answer_are_accepted() -> None:
    evidence = touched_run()
    assert check(evidence, baseline_of(evidence)) == []


@pytest.mark.parametrize(
    ("at_ms", "seen"),
    [(1399, False), (1400, True), (1799, True), (1800, False)],
    ids=["before", "with", "under", "after"],
)
def test_an_order_of_ours_against_a_hand_is_seen(at_ms: int, *, seen: bool) -> None:
    evidence = touched_run()
    evidence.ledger["acceptedOrders"][2]["statusTimestamp"] = at_ms
    rules = {violation.rule for violation in check(evidence, baseline_of(evidence))}
    assert rules == ({"against a hand"} if seen else set())


@pytest.mark.parametrize(("off", "seen"), [("0.009", False), ("0.011", True)])
def test_a_position_may_differ_by_what_a_hand_has_cost_and_no_more(off: str, *, seen: bool) -> None:
    evidence = touched_run()
    steps = tuple(replace(step, net_size=step.net_size * (1 + Decimal(off))) for step in evidence.steps)
    limits = Limits(touched_share=Decimal("0.01"))
    found = check(replace(evidence, steps=steps), baseline_of(evidence), limits)
    assert ("position" in {violation.rule for violation in found}) is seen
    untouched = replace(evidence, steps=steps, touches=())
    assert "position" in {violation.rule for violation in check(untouched, baseline_of(evidence), limits)}


def test_an_order_under_a_hand_that_is_never_answered_is_seen() -> None:
    evidence = touched_run()
    unanswered = replace(evidence, touches=(Touch(frozenset({3}), from_ms=1400),))
    assert {violation.rule for violation in check(unanswered, baseline_of(evidence))} == {"against a hand"}


def test_an_order_accepted_after_the_proof_is_seen() -> None:
    def accept_late(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"].append(order(4, "B", "1.0") | {"status": "iocCancelRejected"})
        ledger["acceptedOrders"][-1]["order"]["sz"] = "1.0"

    clean = spoilt(accept_late)
    assert rules_broken(replace(clean, requests=[*clean.requests, request(4)])) == {"after the proof"}


def test_an_order_sent_after_the_proof_is_seen_though_it_was_refused() -> None:
    clean = clean_run()
    assert rules_broken(replace(clean, requests=[*clean.requests, request(4, "err")])) == {"after the proof"}


def test_a_late_copy_of_an_order_and_orders_of_others_may_come_after_the_proof() -> None:
    clean = clean_run()
    copies = [request(2, "err") | {"received_ms": 9000}]
    other = request(4, "err")
    other["body"]["action"]["orders"][0]["a"] = ASSET + 1
    assert check(replace(clean, requests=[*clean.requests, *copies, other]), BASELINE) == []
    touched = touched_run()
    late = replace(touched, flat_at_ms=2500, requests=[*touched.requests[:-1], request(3) | {"received_ms": 9000}])
    assert check(late, baseline_of(touched)) == []


def test_a_proof_that_is_missing_where_one_is_due_is_seen() -> None:
    clean = replace(clean_run(), flat_at_ms=None)
    assert rules_broken(clean) == {"no proof"}
    assert rules_broken(replace(clean, proof_due=False)) == set()


def test_a_proof_from_before_the_last_fill_is_seen() -> None:
    assert rules_broken(replace(clean_run(), flat_at_ms=1999)) == {"no proof", "after the proof"}


def test_an_order_that_rests_after_the_proof_is_seen() -> None:
    def rest(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"].append(order(4, "B", "1.0") | {"status": "open", "statusTimestamp": 2400})
        ledger["acceptedOrders"][-1]["order"]["sz"] = "1.0"

    assert rules_broken(spoilt(rest)) == {"no proof"}


ACCOUNT_PROOF = AccountProof(at_ms=2600, stopped=(COIN,))


def stopped_run(spoil: Spoil = lambda _ledger: None) -> Evidence:
    """The clean run, ended by an emergency stop of its account; somebody else's position in SOL is closed by it."""

    def elsewhere(ledger: dict[str, Any]) -> None:
        for number, side, reduce_only in ((6, "B", False), (7, "A", True)):
            strange = order(number, side, "1.0") | {"coin": "SOL", "reduceOnly": reduce_only}
            ledger["acceptedOrders"].append(strange)
            ledger["fills"].append(fill(number, side, "1.0", "100.0", fee="0.0") | {"coin": "SOL"})
        spoil(ledger)

    return replace(spoilt(elsewhere), account_proof=ACCOUNT_PROOF, account_proof_due=True)


def test_an_account_that_is_proved_flat_is_accepted() -> None:
    assert check(stopped_run(), BASELINE) == []


def test_an_emergency_stop_without_a_proof_or_with_one_that_leaves_the_trade_out_is_seen() -> None:
    stopped = stopped_run()
    assert rules_broken(replace(stopped, account_proof=None)) == {"no proof"}
    assert rules_broken(replace(stopped, account_proof=replace(ACCOUNT_PROOF, stopped=("BTC",)))) == {"no proof"}


def test_a_position_or_an_order_in_any_coin_is_seen_that_an_accounts_proof_knows_nothing_of() -> None:
    def late(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"][-1]["statusTimestamp"] = ledger["fills"][-1]["time"] = 2601

    assert rules_broken(stopped_run(late)) == {"no proof", "after the proof"}

    def rests(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"].append(order(8, "A", "0.0") | {"coin": "SOL", "reduceOnly": True, "status": "open"})

    assert rules_broken(stopped_run(rests)) == {"no proof"}


def test_a_position_that_the_emergency_stop_turned_over_is_seen_though_it_was_closed_again() -> None:
    def turned_over(ledger: dict[str, Any]) -> None:
        for number, side in ((8, "A"), (9, "B")):
            ledger["acceptedOrders"].append(order(number, side, "1.0") | {"coin": "SOL", "reduceOnly": side == "B"})
            ledger["fills"].append(fill(number, side, "1.0", "100.0", fee="0.0") | {"coin": "SOL"})

    assert rules_broken(stopped_run(turned_over)) == {"doubled"}


def test_a_backstop_that_is_placed_and_taken_off_is_accepted() -> None:
    assert check(guarded_run(), baseline_of(guarded_run())) == []


@pytest.mark.parametrize(
    "wrong",
    [
        guarded_run(rests=()),
        guarded_run(rests=(STOP, STOP)),
        guarded_run(rests=(replace(STOP, size=Decimal("2.0")),)),
        guarded_run(rests=(replace(STOP, size=Decimal("-1.0")),)),
        guarded_run(rests=(replace(STOP, trigger_price=None),)),
        guarded_run(rests=(replace(STOP, trigger_price=Decimal("91.0")),)),
        guarded_run(rests=(replace(STOP, reduce_only=False),)),
        guarded_run(stops=(stop(), stop(6))),
        guarded_run(stops=()),
        guarded_run(stops=(stop(reduce_only=False),)),
    ],
    ids=[
        *("none", "two", "other side", "too small", "no trigger", "other trigger", "may open"),
        *("placed twice", "never placed", "placed so that it may open"),
    ],
)
def test_a_backstop_out_of_step_is_seen(wrong: Evidence) -> None:
    assert {violation.rule for violation in check(wrong, baseline_of(guarded_run()))} == {"stop"}


def test_what_rests_where_nothing_is_held_or_nothing_is_guarded_is_seen() -> None:
    guarded = guarded_run()
    left = replace(guarded, steps=(guarded.steps[0], replace(guarded.steps[1], resting=(STOP,))))
    anything = Limits(same_orders=False)
    assert {violation.rule for violation in check(left, baseline_of(left), anything)} == {"stop"}
    unasked = replace(guarded, guarded=False)
    assert {violation.rule for violation in check(unasked, baseline_of(guarded), anything)} == {"stop"}


def test_a_liquidation_that_the_trade_does_not_tell_as_such_is_seen() -> None:
    def liquidate(ledger: dict[str, Any]) -> None:
        ledger["liquidationOids"] = [2]
        del ledger["acceptedOrders"][1]

    liquidated = replace(spoilt(liquidate), told_liquidated=Decimal(-2))
    anything = Limits(same_orders=False)
    assert rules_broken(liquidated, anything) == set()
    assert rules_broken(replace(liquidated, told_liquidated=Decimal(0)), anything) == {"liquidation"}
    assert rules_broken(replace(clean_run(), told_liquidated=Decimal(-2))) == {"liquidation"}


def test_orders_of_earlier_runs_are_not_judged_again() -> None:
    def earlier(ledger: dict[str, Any]) -> None:
        ledger["acceptedOrders"].insert(0, order(77, "B", "1.0"))
        ledger["acceptedOrders"].insert(1, order(78, "A", "1.0"))
        ledger["fills"][:0] = [fill(77, "B", "1.0", "100.0", fee="0.0"), fill(78, "A", "1.0", "100.0", fee="0.0")]

    evidence = replace(spoilt(earlier), oids_before=frozenset({77, 78}))
    assert check(evidence, BASELINE) == []
