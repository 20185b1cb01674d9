"""The matrix: which boundary, which fault, at which step of the cycle."""

from collections.abc import Iterator
from dataclasses import replace

from sweep.boundaries import (
    BEFORE_THE_ORDER,
    CLOSE_ONLY,
    FENCE,
    HEARTBEATS,
    JOURNAL,
    LOOK_UP,
    OPENING_ONLY,
    ORDER,
    PAUSED_AT,
    RENEWAL,
)
from sweep.cell import FROZEN, VICTIMS, Cell
from sweep.conductor import ASKER, Blow
from sweep.emergencies import emergencies
from sweep.faults import DROP_REPLY, DROP_REQUEST, ORDER_FAULTS, SETTLING_FAULTS, STREAM_FAULTS
from sweep.guards import for_minutes, guarded, oversize
from sweep.judged import Limits
from sweep.people import liquidated, stopped, touched
from sweep.story import CLOSE, GAPS, HEDGE, OPENING, Story

ORDERING_STEPS = (OPENING, "retracement", "undone", "DECLINE", "RECOVERY", "RESET", CLOSE)


def all_cells() -> list[Cell]:
    """In the order they run: the cheap and telling ones first."""
    cells = [
        *_kills(),
        *_kills_in_opening_and_close(),
        *_kills_while_settling(),
        *_kills_while_recovering(),
        *_two_workers(),
        *_pauses(),
        *_exchange_faults(),
        *_settling_faults(),
        *_streams(),
        *_outages(),
        *_gaps(),
        *_hedge(),
        *stopped(),
        *touched(),
        *liquidated(),
        *guarded(),
        *oversize(),
        *for_minutes(),
        *emergencies(),
    ]
    assert len({cell.name for cell in cells}) == len(cells), "a name finds one cell"
    return cells


def _kills() -> Iterator[Cell]:
    """The feed has no part in an order once it is told of, so the boundaries after that are struck for it at one step;
    all at once at another."""
    for step, everywhere in (
        ("retracement", ("worker", "temporal")),
        ("DECLINE", ("worker", "temporal", "feed")),
        ("RESET", ("worker", "temporal", "all")),
    ):
        for victim in VICTIMS:
            after = (*ORDER, *JOURNAL) if victim in everywhere else ()
            for boundary in (*BEFORE_THE_ORDER, *after):
                yield _kill(boundary, victim, step)
    for boundary in HEARTBEATS:
        for victim in VICTIMS:
            yield _kill(boundary, victim, "undone")
    for boundary in RENEWAL:
        for victim in VICTIMS:
            yield replace(_kill(boundary, victim, "retracement"), anytime=True)


def _kills_in_opening_and_close() -> Iterator[Cell]:
    for victim in ("worker", "temporal"):
        for boundary in (*OPENING_ONLY, *ORDER):
            yield _kill(boundary, victim, OPENING)
        for boundary in (*CLOSE_ONLY, *ORDER):
            yield _kill(boundary, victim, CLOSE)


def _kill(boundary: str, victim: str, step: str) -> Cell:
    return Cell("killed once", boundary, victim, step, blows=(Blow(boundary, VICTIMS[victim]),))


def _kills_while_settling() -> Iterator[Cell]:
    """The reply is lost, or the request: killed while the order's outcome is being established."""
    for lost, fault in (("reply lost", DROP_REPLY), ("request lost", DROP_REQUEST)):
        for victim in ("worker", "temporal"):
            for boundary in (*FENCE, *(LOOK_UP if lost == "reply lost" else ())):
                for step in ("retracement", "RESET"):
                    name, blow = f"{lost}, {victim}", Blow(boundary, VICTIMS[victim])
                    yield Cell("killed while settling", boundary, name, step, blows=(blow,), faults=(fault,))


def _kills_while_recovering() -> Iterator[Cell]:
    """A second kill while what the first one left is being put right."""
    group, worker, temporal = "killed while recovering", ("worker",), ("temporal",)
    accepted, signed = Blow("exchange.order.accepted", worker), Blow("exchange.order.signed", worker)
    for step, first, boundaries in (
        ("DECLINE", accepted, ("execute_order.begun", "exchange.order.signed", "exchange.order.answered", *LOOK_UP)),
        (
            "RESET",
            signed,
            ("execute_order.begun", "exchange.order.signed", "exchange.order.accepted", "execute_order.done"),
        ),
    ):
        for boundary in boundaries:
            yield Cell(group, boundary, "worker twice", step, blows=(first, Blow(boundary, worker)))
            yield Cell(group, boundary, "worker, temporal", step, blows=(first, Blow(boundary, temporal)))
    first = Blow("signal.units_moved.sent", temporal)
    for boundary in ("units_moved.arrived", "execute_order.begun", "track_units.begun", "query.tracking.answered"):
        yield Cell(group, boundary, "temporal, asker", "retracement", blows=(first, Blow(boundary, (ASKER,))))


def _two_workers() -> Iterator[Cell]:
    for boundary in (*ORDER, "record.begun"):
        blows = (Blow(boundary),)
        yield Cell("two workers", boundary, "one of two workers", "DECLINE", blows=blows, second_worker=True)


def _pauses() -> Iterator[Cell]:
    """The worker stands still past the order's expiry while another one takes over, and then goes on."""
    for boundary in PAUSED_AT:
        for step in ("retracement", "RESET"):
            blow = Blow(boundary, ("worker",), how="pause")
            yield Cell("two workers", boundary, "paused worker", step, blows=(blow,), limits=FROZEN)


def _exchange_faults() -> Iterator[Cell]:
    for name, fault in ORDER_FAULTS.items():
        for step in ORDERING_STEPS:
            armed = {**fault, "match": {"action": "order"}}
            yield Cell("the exchange fails", "exchange.order", name, step, faults=(armed,), limits=_limits(name))
    for name in ("drop request", "drop reply", "truncate", "502 before", "502 after", "html after", "nonce used"):
        armed = {**ORDER_FAULTS[name], "match": {"action": "updateLeverage"}}
        yield Cell("the exchange fails", "exchange.updateLeverage", name, OPENING, faults=(armed,))


def _limits(fault: str) -> Limits:
    return Limits(same_orders=fault != "partial", expiry_settles=fault == "nonce used")


def _settling_faults() -> Iterator[Cell]:
    """The order's fate is not known, and the questions about it fail too."""
    for lost, order_fault in (("reply lost", DROP_REPLY), ("request lost", DROP_REQUEST)):
        for name, fault in SETTLING_FAULTS.items():
            for count in (1, 4):
                settling = {**fault, "match": {"action": "noop", "count": count}}
                faults = (order_fault, settling)
                yield Cell(
                    "settling fails",
                    "exchange.noop",
                    f"{lost}, {name} x{count}",
                    "DECLINE",
                    faults=faults,
                    limits=_limits(name),
                )
    for name, fault in SETTLING_FAULTS.items():
        if name == "nonce used":
            continue
        for info in ("orderStatus", "userFillsByTime"):
            question = {**fault, "match": {"info": info, "count": 2}}
            yield Cell(
                "settling fails", f"info.{info}", f"reply lost, {name} x2", "RESET", faults=(DROP_REPLY, question)
            )


def _streams() -> Iterator[Cell]:
    for name, what in STREAM_FAULTS.items():
        for step in ("retracement", "RESET"):
            yield Cell("prices fail", "websocket", name, step, streams=(what,))


def _outages() -> Iterator[Cell]:
    for mode in ("refuse", "hang", "bad_gateway"):
        for step in (OPENING, "DECLINE", "RESET", CLOSE):
            yield Cell("the exchange is away", "exchange", f"outage, {mode}", step, outage={"mode": mode, "seconds": 4})


def _gaps() -> Iterator[Cell]:
    """The price jumps over many units while somebody is away. The end is what it is with everybody there."""
    gaps = Story(GAPS)
    for step, _ in GAPS:
        for victim, names in VICTIMS.items():
            yield Cell("prices jump", "a process down", f"{victim} down", step, story=gaps, held=names)
        for mode in ("refuse", "hang", "bad_gateway"):
            outage = {"mode": mode, "seconds": 4}
            yield Cell("prices jump", "exchange away", f"outage, {mode}", step, story=gaps, outage=outage)


def _hedge() -> Iterator[Cell]:
    """The same of the Fibonacci hedge, at each of its orders."""
    story = Story(HEDGE, hedged=True)
    for step in ("level 1", "new high", "level 2", "stopped", "new fractal"):
        is_one_of_its_kind = step in ("level 1", "level 2", "new fractal")
        victims = ("worker", "temporal") if is_one_of_its_kind else ("worker",)
        cells = [_kill(boundary, victim, step) for victim in victims for boundary in ORDER]
        cells += [_kill(boundary, "all", step) for boundary in BEFORE_THE_ORDER]
        for name, fault in ORDER_FAULTS.items() if is_one_of_its_kind else ():
            armed = {**fault, "match": {"action": "order"}}
            cells.append(Cell("", "exchange.order", name, step, faults=(armed,), limits=_limits(name)))
        for lost, fault in (("reply lost", DROP_REPLY), ("request lost", DROP_REQUEST)):
            name, blow = f"{lost}, worker", Blow("exchange.noop.answered", ("worker",))
            cells.append(Cell("", "exchange.noop.answered", name, step, blows=(blow,), faults=(fault,)))
        for cell in cells:
            yield replace(cell, group="Fibonacci hedge", story=story)
