"""The judge's rules of orders that rest: a stop for what a guarded trade holds at rest, and never another order."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from sweep.judged import Baseline, Evidence, Json, Limits, Resting, Step, Violation


def resting_of(orders: Iterable[Json]) -> tuple[Resting, ...]:
    """Those of the ledger's orders that are open."""
    return tuple(
        Resting(
            size=Decimal(order["order"]["sz"]) * (1 if order["order"]["side"] == "B" else -1),
            trigger_price=None if order["triggerPx"] is None else Decimal(order["triggerPx"]),
            reduce_only=order["reduceOnly"],
        )
        for order in orders
        if order["status"] == "open"
    )


def stops_of(accepted: Iterable[Json]) -> Iterator[str]:
    """Side, size and trigger of each that was accepted, whatever became of it."""
    for order in sorted(accepted, key=lambda each: int(each["oid"])):
        if order.get("triggerPx") is not None:
            yield f"{order['order']['side']} {order['order']['origSz']} at {order['triggerPx']}"


def stops_in_step(evidence: Evidence, accepted: list[Json], baseline: Baseline, limits: Limits) -> Iterator[Violation]:
    """One for each that a run without faults places, and at rest the one that guards what is held."""
    placed = tuple(stops_of(accepted))
    if limits.same_orders and placed != baseline.stops:
        yield Violation("stop", f"stops were accepted: {placed}; without faults {baseline.stops}")
    for order in accepted:
        if order.get("triggerPx") is not None and not order["reduceOnly"]:
            yield Violation("stop", f"stop {order['oid']} is not reduce-only: it may open a position")
    for step in evidence.steps:
        yield from _as_held(step, guarded=evidence.guarded)
    for step, expected in zip(evidence.steps, baseline.steps, strict=False):
        if limits.same_orders and step.resting != expected.resting:
            yield Violation("stop", f"after {step.name} {_told(step)} rests; without faults {_told(expected)} does")


def _as_held(step: Step, *, guarded: bool) -> Iterator[Violation]:
    """One reduce-only stop for the whole net position; nothing where nothing is held."""
    is_due = guarded and step.net_size != 0
    if len(step.resting) != is_due:
        yield Violation("stop", f"after {step.name} {_told(step)} rests, with a position of {step.net_size}")
    for stop in step.resting:
        if stop.trigger_price is None or not stop.reduce_only:
            yield Violation("stop", f"after {step.name} an order of {stop.size} rests that is no reduce-only stop")
        if stop.size != -step.net_size:
            yield Violation("stop", f"after {step.name} a stop of {stop.size} rests for a position of {step.net_size}")


def _told(step: Step) -> str:
    return " and ".join(f"{stop.size} at {stop.trigger_price}" for stop in step.resting) or "nothing"
