"""The judge's rules of holding still: under a stranger's hand until it is answered, and for good once proved flat."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from sweep.judged import ZERO, Evidence, Json, Violation


def still_under_a_hand(evidence: Evidence, accepted: list[Json]) -> Iterator[Violation]:
    """From a stranger's hand until somebody answers, nothing of ours reaches the book."""
    for touch in evidence.touches:
        for order in accepted:
            at_ms = int(order["statusTimestamp"])
            if touch.from_ms <= at_ms and (touch.to_ms is None or at_ms < touch.to_ms):
                yield Violation(
                    "against a hand",
                    f"order {order['oid']} was accepted {at_ms - touch.from_ms} ms after a hand, before the answer",
                )


def liquidations_told(evidence: Evidence) -> Iterator[Violation]:
    oids = frozenset(evidence.ledger.get("liquidationOids", ())) - evidence.oids_before
    fills = [fill for fill in evidence.ledger["fills"] if fill["oid"] in oids and fill["coin"] == evidence.coin]
    liquidated = signed(fills)
    if liquidated != evidence.told_liquidated:
        yield Violation(
            "liquidation", f"{liquidated} was liquidated; the trade recorded {evidence.told_liquidated} as such"
        )


def flat_for_good(evidence: Evidence, accepted: list[Json]) -> Iterator[Violation]:
    """The proof is there and true, and nothing of the trade's was sent or accepted after it."""
    flat_at_ms = evidence.flat_at_ms
    if flat_at_ms is None:
        if evidence.proof_due:
            yield Violation("no proof", "the trade was told to end flat and has no word of the exchange that it is")
        return
    before = [fill for fill in evidence.ledger["fills"] if fill["coin"] == evidence.coin and fill["time"] <= flat_at_ms]
    if held := signed(before):
        yield Violation("no proof", f"the trade says it was flat at {flat_at_ms}; the exchange had {held} then")
    for order in accepted:
        if int(order["statusTimestamp"]) > flat_at_ms:
            yield Violation("after the proof", f"order {order['oid']} was accepted after the trade was proved flat")
        if order["status"] == "open":
            yield Violation("no proof", f"order {order['oid']} rests in the book of a trade that was proved flat")
    for cloid, at_ms in _first_sent(evidence).items():
        if at_ms > flat_at_ms:
            yield Violation("after the proof", f"order {cloid} was sent {at_ms - flat_at_ms} ms after the proof")


def account_flat(evidence: Evidence) -> Iterator[Violation]:
    """The emergency stop's own proof is there and true of every coin, and nothing happened to any order after it."""
    proof, ledger = evidence.account_proof, evidence.ledger
    if proof is None:
        if evidence.account_proof_due:
            yield Violation("no proof", "the account was told to stop and has no word of the exchange that it is flat")
        return
    if evidence.coin not in proof.stopped:
        yield Violation("no proof", f"the account's proof has {proof.stopped} as stopped, {evidence.coin} is missing")
    for coin in {fill["coin"] for fill in ledger["fills"]}:
        fills = [fill for fill in ledger["fills"] if fill["coin"] == coin and fill["time"] <= proof.at_ms]
        if held := signed(fills):
            yield Violation("no proof", f"the account was flat at {proof.at_ms}; the exchange had {held} {coin} then")
    for order in ledger["acceptedOrders"]:
        if order["status"] == "open":
            yield Violation("no proof", f"order {order['oid']} rests in {order['coin']}, and the account was flat")
        elif order["oid"] not in evidence.oids_before and (late_ms := int(order["statusTimestamp"]) - proof.at_ms) > 0:
            yield Violation("after the proof", f"order {order['oid']} ended {late_ms} ms after the account was flat")
    strange = [order for order in ledger["acceptedOrders"] if order["coin"] != evidence.coin]
    opened = [order for order in strange if order["oid"] not in evidence.oids_before and not order["reduceOnly"]]
    if len(opened) > 1:
        oids = ", ".join(str(order["oid"]) for order in opened)
        yield Violation("doubled", f"orders {oids} may open a position where no trade is; the hand opened one")


def _first_sent(evidence: Evidence) -> dict[str, int]:
    """Of every order of ours in the coin, by its client id."""
    strange = frozenset[int]().union(*(touch.oids for touch in evidence.touches))
    theirs = {order["cloid"] for order in evidence.ledger["acceptedOrders"] if order["oid"] in strange}
    first: dict[str, int] = {}
    for request in evidence.requests:
        if request["type"] != "order":
            continue
        for order in request["body"]["action"]["orders"]:
            cloid = order.get("c", "")
            if order["a"] == evidence.asset and cloid not in theirs:
                first[cloid] = min(first.get(cloid, request["received_ms"]), request["received_ms"])
    return first


def signed(fills: Iterable[Json]) -> Decimal:
    """What they add up to: bought is positive."""
    return sum((Decimal(fill["sz"]) * (1 if fill["side"] == "B" else -1) for fill in fills), ZERO)
