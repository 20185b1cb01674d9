"""The judge: reads the exchange's own books and request log, and says what a run did wrong.

It knows nothing of the product: no workflow, journal or gateway is imported, and what the trade says of itself is only
compared with the exchange at the end. A pure function of JSON as the simulator's control API gives it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from sweep.judged import ZERO, Baseline, Evidence, Json, Limits, Violation
from sweep.resting import stops_in_step, stops_of
from sweep.stillness import account_flat, flat_for_good, liquidations_told, signed, still_under_a_hand

CENT = Decimal("0.01")


@dataclass
class _Orders:
    """The run's part of the books."""

    accepted: list[Json]
    refused: list[Json]
    fills: dict[int, list[Json]] = field(default_factory=lambda: defaultdict(list))


def check(evidence: Evidence, baseline: Baseline, limits: Limits | None = None) -> list[Violation]:
    """Everything that is not as it was promised; empty for a good run."""
    limits = limits or Limits()
    orders = _orders_of(evidence)
    return [
        *_each_intent_once(orders),
        *_signers_known(evidence, orders),
        *_nothing_lost(evidence, orders),
        *_money(evidence),
        *_all_resolved(evidence, limits),
        *still_under_a_hand(evidence, orders.accepted),
        *liquidations_told(evidence),
        *flat_for_good(evidence, orders.accepted),
        *account_flat(evidence),
        *stops_in_step(evidence, orders.accepted, baseline, limits),
        *_as_without_faults(evidence, orders, baseline, limits),
        *_alive(evidence, limits),
    ]


def baseline_of(evidence: Evidence) -> Baseline:
    """A run without faults as what others are compared with."""
    orders = _orders_of(evidence)
    return Baseline(evidence.steps, tuple(_filled(orders)), evidence.decisions, tuple(stops_of(orders.accepted)))


def _orders_of(evidence: Evidence) -> _Orders:
    ledger = evidence.ledger
    others = evidence.oids_before.union(*(touch.oids for touch in evidence.touches))

    def ours(rows: Iterable[Json]) -> list[Json]:
        return [row for row in rows if row["oid"] not in others and row["coin"] == evidence.coin]

    orders = _Orders(ours(ledger["acceptedOrders"]), ours(ledger["refusedOrders"]))
    for fill in ledger["fills"]:
        orders.fills[fill["oid"]].append(fill)
    return orders


def _each_intent_once(orders: _Orders) -> Iterator[Violation]:
    """An intent is a cloid, and it is a nonce of a signer."""
    cloids = Counter(order["cloid"] for order in orders.accepted if order["cloid"])
    for cloid, count in cloids.items():
        if count > 1:
            yield Violation("doubled", f"order {cloid} was accepted {count} times")
    nonces = Counter((order["signer"], order["nonce"]) for order in orders.accepted)
    for (signer, nonce), count in nonces.items():
        if count > 1:
            yield Violation("doubled", f"{count} orders were accepted with nonce {nonce} of {signer}")
    for order in orders.accepted:
        if not order["cloid"]:
            yield Violation("doubled", f"order {order['oid']} has no client id: nobody can say which intent it was")


def _signers_known(evidence: Evidence, orders: _Orders) -> Iterator[Violation]:
    for order in [*orders.accepted, *orders.refused]:
        if order["signer"] != evidence.signer:
            yield Violation("foreign signer", f"order {order['oid']} was signed by {order['signer']}")


def _nothing_lost(evidence: Evidence, orders: _Orders) -> Iterator[Violation]:
    """Fills add up to the orders, and all fills of the account to its positions."""
    for order in orders.accepted:
        shrunk = Decimal(order.get("shrunkSize", "0"))
        executed = Decimal(order["order"]["origSz"]) - Decimal(order["order"]["sz"]) - shrunk
        filled = _size(orders.fills[order["oid"]])
        if filled != executed:
            yield Violation("lost fill", f"order {order['oid']} executed {executed}, its fills add up to {filled}")
    held: dict[str, Decimal] = defaultdict(Decimal)
    tids: Counter[tuple[str, int]] = Counter()
    for fill in evidence.ledger["fills"]:
        held[fill["coin"]] += signed([fill])
        tids[fill["coin"], fill["tid"]] += 1
    for coin in held.keys() | evidence.ledger["positions"].keys():
        position = Decimal(evidence.ledger["positions"].get(coin, "0"))
        if held[coin] != position:
            yield Violation("lost fill", f"the fills of {coin} add up to {held[coin]}, its position is {position}")
    for (coin, tid), count in tids.items():
        if count > 1:
            yield Violation("doubled", f"fill {tid} of {coin} is in the books {count} times")


def _money(evidence: Evidence) -> Iterator[Violation]:
    """Deposits + realised + unrealised + funding - fees = account value, to the cent; and the trade says the same."""
    ledger, account = evidence.ledger, evidence.account
    realised = sum((Decimal(fill["closedPnl"]) for fill in ledger["fills"]), ZERO)
    fees = sum((Decimal(fill["fee"]) for fill in ledger["fills"]), ZERO)
    unrealised = sum((Decimal(each["position"]["unrealizedPnl"]) for each in account["assetPositions"]), ZERO)
    funding = Decimal(ledger.get("fundingUsd", "0"))
    deposits = Decimal(ledger["depositsUsd"]) + Decimal(ledger["transfersUsd"])
    due = deposits + realised + unrealised + funding - fees
    for name, value in (
        ("the account's value", account["marginSummary"]["accountValue"]),
        ("the ledger's account value", ledger["accountValueUsd"]),
    ):
        if abs(Decimal(value) - due) >= CENT:
            yield Violation(
                "money",
                f"deposits {deposits} + realised {realised} + unrealised {unrealised} + funding {funding} "
                f"- fees {fees} = {due}, but {name} is {value}",
            )
    told, earned = evidence.told_pnl_usd, evidence.earned_usd
    if told is not None and earned is not None and abs(told - earned) >= CENT:
        yield Violation("money", f"the trade says it made {told:.4f} USD, the account changed by {earned:.4f}")


def _all_resolved(evidence: Evidence, limits: Limits) -> Iterator[Violation]:
    """Each intent that was ever sent is in the books, was refused as a whole, or its nonce was spent on nothing."""
    ledger = evidence.ledger
    in_books = {order["cloid"] for order in [*ledger["acceptedOrders"], *ledger["refusedOrders"]]}
    spent = {
        (request["signer"], request["body"]["nonce"])
        for request in evidence.requests
        if request["type"] == "noop" and _executed(request)
    }
    sent: dict[str, list[Json]] = defaultdict(list)
    for request in evidence.requests:
        if request["type"] == "order":
            for order in request["body"]["action"]["orders"]:
                sent[order.get("c", "")].append(request)
    for cloid, requests in sent.items():
        # Of a request that it never looked at, the exchange does not know who signed it.
        signer = next((request["signer"] for request in requests if request["signer"]), evidence.signer)
        known = cloid in in_books or (signer, requests[0]["body"]["nonce"]) in spent
        expired = limits.expiry_settles and requests[0]["body"]["expiresAfter"] < evidence.at_ms
        if not known and not expired and not any(_refused_whole(request) for request in requests):
            verdicts = ", ".join(request["verdict"] for request in requests)
            yield Violation("unresolved", f"order {cloid} was sent {len(requests)} times ({verdicts}) and left open")


def _executed(request: Json) -> bool:
    return str(request["verdict"]).split(",")[0] == "ok"


def _refused_whole(request: Json) -> bool:
    """By the exchange itself, and the answer was read: neither a fault's invention nor lost on the way."""
    return request["verdict"] in ("err", "rejected")


def _as_without_faults(evidence: Evidence, orders: _Orders, baseline: Baseline, limits: Limits) -> Iterator[Violation]:
    share = limits.touched_share if evidence.touches else ZERO
    slack = share * max((abs(step.net_size) for step in baseline.steps), default=ZERO)
    for step, expected in zip(evidence.steps, baseline.steps, strict=False):
        if step.name != expected.name or abs(step.net_size - expected.net_size) > slack:
            yield Violation(
                "position",
                f"after {expected.name} the position is {step.net_size}; without faults it is {expected.net_size}",
            )
    for step in evidence.steps:
        if step.told_size not in (None, step.net_size):
            yield Violation(
                "position", f"after {step.name} the trade says it holds {step.told_size}; it is {step.net_size}"
            )
    if len(evidence.steps) != len(baseline.steps):
        yield Violation("position", f"{len(evidence.steps)} steps were done; without faults {len(baseline.steps)} are")
    if limits.same_orders:
        yield from _differing("order", _filled(orders), baseline.orders)
        yield from _differing("decision", _distinct(evidence.decisions), list(_distinct(baseline.decisions)))


def _differing(what: str, found: Iterable[object], expected: Iterable[object]) -> Iterator[Violation]:
    found, expected = list(found), list(expected)
    for number, (one, other) in enumerate(zip(found, expected, strict=False), start=1):
        if one != other:
            yield Violation("decisions", f"{what} {number} is {one}; without faults it is {other}")
            return
    if len(found) != len(expected):
        yield Violation("decisions", f"{len(found)} {what}s were made; without faults {len(expected)} are")


def _distinct(decisions: tuple[Json, ...]) -> Iterator[Json]:
    """A decision whose order never executed is carried out by another order, and then told once more."""
    previous = None
    for decision in decisions:
        if decision != previous:
            yield decision
        previous = decision


def _alive(evidence: Evidence, limits: Limits) -> Iterator[Violation]:
    """Also the steps after a fault have to be quick: what it left behind must not hold them up."""
    for step in evidence.steps:
        took_s = step.took_s if step.recovered_s is None else step.recovered_s
        if took_s > limits.recovered_s_max:
            since = "the price" if step.recovered_s is None else "the last fault"
            yield Violation(
                "late",
                f"{step.name} was done {took_s:.1f} s after {since}; {limits.recovered_s_max:.0f} s are allowed",
            )


def _filled(orders: _Orders) -> Iterator[tuple[str, Decimal]]:
    for order in sorted(orders.accepted, key=lambda each: int(each["oid"])):
        if size := _size(orders.fills[order["oid"]]):
            yield order["order"]["side"], size


def _size(fills: list[Json]) -> Decimal:
    return sum((Decimal(fill["sz"]) for fill in fills), ZERO)
