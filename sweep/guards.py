"""The matrix's cells of reduce-only orders, a backstop's and those that are larger than what is held by then; and of
minutes in which nothing goes on."""

from collections.abc import Iterator
from dataclasses import replace

from sweep.boundaries import CANCELLING, PLACING
from sweep.cell import FROZEN, VICTIMS, Cell
from sweep.conductor import Blow
from sweep.faults import DROP_REPLY, DROP_REQUEST, ORDER_FAULTS, OVERSIZE_FAULTS
from sweep.judged import Limits
from sweep.story import CLOSE, GUARD, Ending, Story

GUARDED = Story(GUARD, hedged=True, guarded=True)
MOVED, GONE = "low", "stopped"
"""A stop is placed and the former one taken off, and no other order is sent; nothing is held, so nothing is guarded."""
STRUCK_FOR_ALL = (
    "execute_order.recorded",
    "exchange.order.signed",
    "exchange.order.accepted",
    "execute_order.reported",
    "cancel_order.recorded",
    "exchange.cancelByCloid.signed",
    "exchange.cancelByCloid.accepted",
    "cancel_order.reported",
)
STRUCK_FOR_THE_FEED = ("exchange.order.accepted", "exchange.cancelByCloid.accepted")
CANCEL_FAULTS = (
    *("drop request", "drop reply", "delay before", "delay past timeout", "truncate"),
    *("429", "500 after", "502 before", "html after", "nonce used"),
)
MINUTES_S = 150


def guarded() -> Iterator[Cell]:
    """A stop is an order too: nothing of the trade's decides by it, and all that holds for orders holds for it."""
    for cell in (*_struck(), *_faults()):
        yield replace(cell, group="backstop", story=GUARDED)


def _struck() -> Iterator[Cell]:
    for boundary in (*PLACING, *CANCELLING):
        for victim in ("worker", "temporal"):
            yield _kill(boundary, victim, MOVED)
    for boundary in STRUCK_FOR_ALL:
        yield _kill(boundary, "all", MOVED)
    for boundary in STRUCK_FOR_THE_FEED:
        yield _kill(boundary, "feed", MOVED)
    for boundary in CANCELLING:
        yield _kill(boundary, "worker", GONE)
    for lost, fault in (("reply lost", DROP_REPLY), ("request lost", DROP_REQUEST)):
        for boundary in ("exchange.order.unanswered", "exchange.noop.accepted", "exchange.noop.answered"):
            blow = Blow(boundary, VICTIMS["worker"])
            yield Cell("", boundary, f"stop: {lost}, worker", MOVED, blows=(blow,), faults=(fault,))


def _faults() -> Iterator[Cell]:
    for name, fault in ORDER_FAULTS.items():
        # It waits for its trigger: nothing of it is filled, so nothing in part.
        if name != "partial":
            yield _fault("order", name, fault)
    for name in CANCEL_FAULTS:
        yield _fault("cancelByCloid", name, ORDER_FAULTS[name])
    for step in (MOVED, GONE):
        yield Cell("", "exchange", "stop: outage, refuse", step, outage={"mode": "refuse", "seconds": 4})


def _fault(action: str, name: str, fault: dict[str, object]) -> Cell:
    armed = {**fault, "match": {"action": action}}
    limits = Limits(expiry_settles=name == "nonce used")
    return Cell("", f"exchange.{action}", f"stop: {name}", MOVED, faults=(armed,), limits=limits)


def _kill(boundary: str, victim: str, step: str) -> Cell:
    return Cell("", boundary, f"stop: {victim}", step, blows=(Blow(boundary, VICTIMS[victim]),))


def oversize() -> Iterator[Cell]:
    """The close is signed; before it is sent somebody else closes half. The exchange makes it smaller, or refuses."""
    group, boundary = "reduce-only", "exchange.order.signed"
    blows, limits = (Blow(boundary, how="hand"),), Limits(same_orders=False)
    for name, fault in OVERSIZE_FAULTS.items():
        for ending in (Ending.CLOSE, Ending.STOP):
            for told, faults in (("", (fault,)), (", reply lost", (fault, DROP_REPLY))):
                fault_name = f"{ending}, {name}{told}"
                story = Story(ending=ending)
                yield Cell(group, boundary, fault_name, CLOSE, blows=blows, faults=faults, limits=limits, story=story)


def for_minutes() -> Iterator[Cell]:
    """As long as a laptop's lid is closed, or an exchange is upgraded."""
    group = "for minutes"
    for boundary in ("exchange.order.signed", "exchange.order.accepted"):
        blows = (Blow(boundary, VICTIMS["worker"], how="pause"),)
        alone = Cell(group, boundary, f"paused {MINUTES_S} s, alone", "DECLINE", blows=blows, paused_s=MINUTES_S)
        yield replace(alone, alone=True)
        yield replace(alone, fault=f"paused {MINUTES_S} s, beside another", limits=FROZEN)
    for mode in ("refuse", "hang"):
        outage = {"mode": mode, "seconds": MINUTES_S}
        yield Cell(group, "exchange", f"outage {MINUTES_S} s, {mode}", "DECLINE", outage=outage)
