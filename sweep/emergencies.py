"""The matrix's cells of the account's emergency stop: whatever goes wrong, it ends with a proof that all is flat."""

from collections.abc import Iterator
from dataclasses import replace

from sweep.boundaries import FENCE, LOOK_UP, ORDER, PAUSED_AT
from sweep.cell import FROZEN, VICTIMS, Cell
from sweep.conductor import Blow
from sweep.faults import DROP_REPLY, DROP_REQUEST, ORDER_FAULTS, SETTLING_FAULTS, Fault
from sweep.guards import CANCEL_FAULTS, MINUTES_S
from sweep.judged import Limits
from sweep.story import CLOSE, ELSEWHERE, SHORT, Ending, Story

BEGINS = ("emergency_stop.arrived", "identify_account.recorded", "identify_account.begun", "identify_account.reported")
TELLS = (
    "stop_trades.decided",
    "stop_trades.recorded",
    "stop_trades.begun",
    "query.summary.answered",
    "signal.stop.due",
    "signal.stop.sent",
    "stop_trades.done",
    "stop_trades.reported",
    "stop_trades.arrived",
)
LOOKS = (
    "left_over.decided",
    "left_over.recorded",
    "left_over.begun",
    "left_over.done",
    "left_over.reported",
    "left_over.arrived",
)
CLOSES = ("stop.arrived", "look.begun", "look.reported", "current_price.begun", "current_price.reported", *ORDER)
"""What the trade passes that is told."""
TAKES_OFF = (
    "cancel_resting.decided",
    "cancel_resting.recorded",
    "cancel_resting.begun",
    "exchange.cancel.signed",
    "exchange.cancel.sent",
    "exchange.cancel.accepted",
    "exchange.cancel.answered",
    "cancel_resting.done",
    "cancel_resting.reported",
    "cancel_resting.arrived",
)
CLOSES_THE_REST = ("flatten.recorded", "flatten.begun", "flatten.done", "flatten.reported", "flatten.arrived")
BETWEEN = ("stop_trades.begun", "stop_trades.reported", "left_over.begun", "left_over.reported", "left_over.arrived")
ROUNDS = (2, 3)
"""The trade is told in the first. Two in which nothing is left are needed."""
STRUCK_FOR_ALL = (
    "emergency_stop.arrived",
    "stop_trades.begun",
    "signal.stop.sent",
    "exchange.order.signed",
    "exchange.order.accepted",
    "execute_order.reported",
    "left_over.begun",
    "left_over.reported",
)
OUTAGES = ("refuse", "hang", "bad_gateway")
LADDER = Story(SHORT, ending=Ending.EMERGENCY)
MOVING = replace(LADDER, moving=True)
GUARDED = Story((("armed", 2), ("level 1", 1), ("level 2", 0)), ending=Ending.EMERGENCY, hedged=True, guarded=True)
"""Short, and a stop rests."""
PORTFOLIO = replace(LADDER, ending=Ending.PORTFOLIO)
EVERYTHING = replace(LADDER, ending=Ending.EVERYTHING)


def emergencies() -> Iterator[Cell]:
    """Of an account with a ladder trade in its hedged phase, unless it says otherwise."""
    for what, cells in (
        ("killed", (*_struck(), *_struck_twice())),
        ("the exchange fails", (*_exchange_fails(), *_settling())),
        ("two workers", _two_workers()),
        ("a price moves", _with_a_price()),
        ("a backstop rests", _with_a_backstop()),
        ("of a portfolio", _of_a_portfolio()),
        ("of everything", _of_everything()),
        ("for minutes", _for_minutes()),
    ):
        for cell in cells:
            yield replace(cell, group=f"emergency stop: {what}")


def _cell(
    boundary: str,
    fault: str,
    *blows: Blow,
    story: Story = LADDER,
    faults: tuple[Fault, ...] = (),
    limits: Limits | None = None,
) -> Cell:
    name = f"{story.ending}, {fault}"
    return Cell("", boundary, name, CLOSE, blows=blows, faults=faults, story=story, limits=limits or Limits())


def _kill(boundary: str, victim: str, story: Story = LADDER, *, nth: int = 1) -> Cell:
    fault = victim if nth == 1 else f"{victim}, time {nth}"
    return _cell(boundary, fault, Blow(boundary, VICTIMS[victim], nth=nth), story=story)


def _fault(request: str, name: str, fault: Fault, story: Story = LADDER, **match: object) -> Cell:
    """Of a request to the exchange, `exchange.order` or `info.clearinghouseState`."""
    path, kind = request.split(".")
    armed = {**fault, "match": {"action" if path == "exchange" else "info": kind, **match}}
    limits = Limits(same_orders=name != "partial", expiry_settles=name == "nonce used")
    return _cell(request, name, story=story, faults=(armed,), limits=limits)


def _struck() -> Iterator[Cell]:
    for victim in ("worker", "temporal"):
        for boundary in (*BEGINS, *TELLS, *LOOKS, *CLOSES):
            yield _kill(boundary, victim)
        for boundary in BETWEEN:
            for nth in ROUNDS:
                yield _kill(boundary, victim, nth=nth)
    for boundary in STRUCK_FOR_ALL:
        yield _kill(boundary, "all")
    yield _kill("exchange.order.accepted", "feed")
    for victim, names in VICTIMS.items():
        yield replace(_cell("a process down", f"{victim} down"), held=names)


def _struck_twice() -> Iterator[Cell]:
    worker = VICTIMS["worker"]
    for first, boundaries in (
        ("exchange.order.accepted", ("execute_order.begun", "exchange.order.signed", "exchange.order.answered")),
        ("exchange.order.accepted", ("look.begun", "stop_trades.begun", "left_over.begun")),
        ("stop_trades.begun", ("stop_trades.begun", "signal.stop.sent", "exchange.order.accepted")),
    ):
        for boundary in boundaries:
            blows = (Blow(first, worker), Blow(boundary, worker))
            yield _cell(boundary, f"worker twice, first at {first}", *blows)
            blows = (Blow(first, worker), Blow(boundary, VICTIMS["temporal"]))
            yield _cell(boundary, f"worker, temporal, first at {first}", *blows)


def _exchange_fails() -> Iterator[Cell]:
    for name, fault in ORDER_FAULTS.items():
        yield _fault("exchange.order", name, fault)
    for name, fault in SETTLING_FAULTS.items():
        if name != "nonce used":
            for question in ("info.clearinghouseState", "info.frontendOpenOrders"):
                yield _fault(question, f"{name} x4", fault, count=4)
    for mode in OUTAGES:
        yield _away(mode, 4)


def _away(mode: str, seconds: int, story: Story = LADDER) -> Cell:
    fault = f"outage {seconds} s, {mode}"
    return replace(_cell("exchange", fault, story=story), outage={"mode": mode, "seconds": seconds})


def _settling() -> Iterator[Cell]:
    """The closing order's fate is not known: killed while it is being established, and the questions fail too."""
    for lost, order_fault in (("reply lost", DROP_REPLY), ("request lost", DROP_REQUEST)):
        for boundary in (*FENCE, *(LOOK_UP if lost == "reply lost" else ())):
            for victim in ("worker", "temporal"):
                yield _cell(boundary, f"{lost}, {victim}", Blow(boundary, VICTIMS[victim]), faults=(order_fault,))
        for name, fault in SETTLING_FAULTS.items():
            settling = {**fault, "match": {"action": "noop", "count": 4}}
            limits = Limits(expiry_settles=name == "nonce used")
            yield _cell("exchange.noop", f"{lost}, {name} x4", faults=(order_fault, settling), limits=limits)


def _two_workers() -> Iterator[Cell]:
    for boundary in ("stop_trades.begun", "signal.stop.sent", "left_over.begun", "left_over.reported", *ORDER):
        yield replace(_cell(boundary, "one of two workers", Blow(boundary)), second_worker=True)
    for boundary in ("stop_trades.begun", "signal.stop.sent", "left_over.begun", *PAUSED_AT):
        yield _cell(boundary, "paused worker", Blow(boundary, VICTIMS["worker"], how="pause"), limits=FROZEN)


def _with_a_price() -> Iterator[Cell]:
    """A unit is completed while the stop is under way, or just before it is told: it may be ordered for, or not."""
    either = Limits(same_orders=False)
    for boundary in (*BEGINS[:2], "stop_trades.begun", "signal.stop.due", "signal.stop.sent", "stop.arrived"):
        yield _cell(boundary, "price", Blow(boundary, how="price"), limits=either)
    for boundary in ("exchange.order.signed", "exchange.order.accepted", "execute_order.booked", "left_over.begun"):
        yield _cell(boundary, "price", Blow(boundary, how="price"), limits=either)
    for first in ("stop_trades.begun", "signal.stop.sent"):
        for boundary in ("exchange.order.signed", "exchange.order.accepted", "execute_order.reported"):
            blows = (Blow(first, how="price"), Blow(boundary, VICTIMS["worker"]))
            yield _cell(boundary, f"price at {first}, worker", *blows, limits=either)
    for victim in ("worker", "temporal", "all"):
        for boundary in ("units_moved.arrived", "execute_order.recorded", "exchange.order.accepted", "stop.arrived"):
            moving = _kill(boundary, victim, MOVING)
            yield replace(moving, fault=f"{moving.fault}, after a price", limits=either)
    for name in ("drop request", "drop reply", "partial", "429", "nonce used", "delay past expiry"):
        moving = _fault("exchange.order", name, ORDER_FAULTS[name], MOVING)
        limits = replace(moving.limits, same_orders=False)
        yield replace(moving, fault=f"{moving.fault}, after a price", limits=limits)


def _with_a_backstop() -> Iterator[Cell]:
    """Of a Fibonacci hedge: its stop is taken off the book first."""
    cells = [_kill(boundary, victim, GUARDED) for victim in ("worker", "temporal") for boundary in TAKES_OFF]
    cells += [_kill("exchange.cancel.accepted", "all", GUARDED), _kill("exchange.order.accepted", "worker", GUARDED)]
    cells += [_fault("exchange.cancel", name, ORDER_FAULTS[name], GUARDED) for name in CANCEL_FAULTS]
    cells += [_fault("exchange.order", name, ORDER_FAULTS[name], GUARDED) for name in ("drop reply", "partial")]
    cells += [_away("refuse", 4, GUARDED)]
    for cell in cells:
        yield replace(cell, fault=f"{cell.fault}, a backstop")


def _of_a_portfolio() -> Iterator[Cell]:
    for victim in ("worker", "temporal"):
        for boundary in (*BEGINS[:1], *TELLS, *LOOKS, "stop.arrived", "exchange.order.accepted"):
            yield _kill(boundary, victim, PORTFOLIO)
        for boundary in BETWEEN:
            yield _kill(boundary, victim, PORTFOLIO, nth=ROUNDS[-1])
    for boundary in STRUCK_FOR_ALL:
        yield _kill(boundary, "all", PORTFOLIO)
    for name in ("drop request", "drop reply", "partial", "429", "nonce used"):
        yield _fault("exchange.order", name, ORDER_FAULTS[name], PORTFOLIO)
    for mode in OUTAGES:
        yield _away(mode, 4, PORTFOLIO)


def _of_everything() -> Iterator[Cell]:
    """Somebody holds another coin, with a stop: closed when the trades are flat, by orders that no trade keeps."""
    for victim in ("worker", "temporal"):
        for boundary in (*CLOSES_THE_REST, "exchange.cancel.sent", "exchange.cancel.accepted"):
            yield _kill(boundary, victim, EVERYTHING)
        for boundary in ("signed", "sent", "accepted", "answered"):
            # The first is the trade's.
            yield _kill(f"exchange.order.{boundary}", victim, EVERYTHING, nth=2)
    yield _kill("exchange.order.accepted", "all", EVERYTHING, nth=2)
    for name, fault in ORDER_FAULTS.items():
        yield _fault("exchange.order", name, fault, EVERYTHING, coin=ELSEWHERE)
    for name in CANCEL_FAULTS:
        yield _fault("exchange.cancel", name, ORDER_FAULTS[name], EVERYTHING, coin=ELSEWHERE)
    yield _away("refuse", 4, EVERYTHING)


def _for_minutes() -> Iterator[Cell]:
    yield _away("refuse", MINUTES_S)
    yield _away("hang", MINUTES_S)
    yield _away("refuse", MINUTES_S, PORTFOLIO)
    blow = Blow("exchange.order.signed", VICTIMS["worker"], how="pause")
    alone = _cell(blow.boundary, f"paused {MINUTES_S} s, alone", blow)
    yield replace(alone, paused_s=MINUTES_S, alone=True)
