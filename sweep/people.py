"""The matrix's cells of people: an emergency stop, a stranger's hand on the exchange, a liquidation."""

from collections.abc import Iterator
from dataclasses import replace

from sweep.cell import VICTIMS, Cell
from sweep.conductor import Blow
from sweep.faults import ORDER_FAULTS
from sweep.judged import Limits
from sweep.story import ANSWER, CLOSE, HAND, SHORT, Answer, Deed, Ending, Hand, Price, Story

STOP_ORDER = (
    "stop.arrived",
    "look.begun",
    "current_price.reported",
    "draw_nonce.recorded",
    "execute_order.recorded",
    "exchange.order.signed",
    "exchange.order.sent",
    "exchange.order.accepted",
    "exchange.order.answered",
    "execute_order.done",
    "execute_order.reported",
    "execute_order.booked",
)
AFTER_THE_STOP = ("was_away.arrived", "release.arrived")
STOP, STOP_ALL = Story(SHORT, ending=Ending.STOP), Story(SHORT, ending=Ending.STOP_ALL)
ANSWERS: tuple[Answer, ...] = ("rehedge", "adopt", "release", "close")
HAND_DEEDS = (Deed.HALF_CLOSED, Deed.BIT_OPENED, Deed.LEVERAGE)


def stopped() -> Iterator[Cell]:
    """The trade is told to stop: flat, proved, and nothing after that until it is released."""
    group, worker = "stopped", ("worker",)

    def struck(boundary: str, victim: str, story: Story = STOP) -> Cell:
        fault = f"{story.ending}, {victim}"
        return Cell(group, boundary, fault, CLOSE, blows=(Blow(boundary, VICTIMS[victim]),), story=story)

    for victim in ("worker", "temporal"):
        for boundary in (*STOP_ORDER, *AFTER_THE_STOP):
            yield struck(boundary, victim)
    for boundary in ("stop.arrived", "exchange.order.signed", "exchange.order.accepted", "execute_order.reported"):
        yield struck(boundary, "all")
    yield struck("exchange.order.accepted", "feed")
    for boundary in ("execute_order.begun", "exchange.order.signed", "exchange.order.answered", "look.begun"):
        blows = (Blow("exchange.order.accepted", worker), Blow(boundary, worker))
        yield Cell(group, boundary, "stop, worker twice", CLOSE, blows=blows, story=STOP)
    for name, fault in ORDER_FAULTS.items():
        armed = {**fault, "match": {"action": "order"}}
        limits = Limits(same_orders=name != "partial", expiry_settles=name == "nonce used")
        yield Cell(group, "exchange.order", f"stop, {name}", CLOSE, faults=(armed,), limits=limits, story=STOP)
    for mode in ("refuse", "hang", "bad_gateway"):
        outage = {"mode": mode, "seconds": 4}
        yield Cell(group, "exchange", f"stop, outage, {mode}", CLOSE, outage=outage, story=STOP)
    yield from _stopped_by_command(group, struck("exchange.order.accepted", "worker", STOP_ALL))


def _stopped_by_command(group: str, killed: Cell) -> Iterator[Cell]:
    """`hypertrader stop-all`, which also has to get through to Temporal and to the account itself."""
    yield killed
    yield replace(
        killed, boundary="stop.arrived", fault="stop-all, temporal", blows=(Blow("stop.arrived", ("temporal",)),)
    )
    for victim, names in VICTIMS.items():
        yield Cell(group, "a process down", f"stop-all, {victim} down", CLOSE, held=names, story=STOP_ALL)
    lost = {**ORDER_FAULTS["drop reply"], "match": {"action": "order"}}
    yield Cell(group, "exchange.order", "stop-all, drop reply", CLOSE, faults=(lost,), story=STOP_ALL)
    outage = {"mode": "refuse", "seconds": 6}
    yield Cell(group, "exchange", "stop-all, outage, refuse", CLOSE, outage=outage, story=STOP_ALL)


def touched() -> Iterator[Cell]:
    """A stranger's hand. Each deed with each to be away, each answer to each deed, a price that waits, and kills."""
    away: list[tuple[str, Deed, Answer]] = [(victim, deed, "rehedge") for victim in VICTIMS for deed in HAND_DEEDS]
    away += [("worker", deed, answer) for deed in HAND_DEEDS for answer in ANSWERS]
    away += [("all", Deed.HALF_CLOSED, answer) for answer in ANSWERS]
    for victim, deed, answer in dict.fromkeys(away):
        yield _while_away(victim, _told(deed, answer))
    for victim in VICTIMS:
        yield _while_away(victim, _told(Deed.HALF_CLOSED, "rehedge", "waits"))
        yield _while_away(victim, _told(Deed.HALF_CLOSED, "rehedge", "is fresh"))
    for answer in ANSWERS[1:]:
        yield _while_away("worker", _told(Deed.HALF_CLOSED, answer, "waits"))
    for story in (_told(Deed.HALF_CLOSED, "close"), _told(Deed.BIT_OPENED, "adopt"), _told(Deed.LEVERAGE, "release")):
        yield Cell("a hand", "nobody away", _words(story), HAND, story=story)
    yield from _struck_under_a_hand()


def _struck_under_a_hand() -> Iterator[Cell]:
    """Killed once more while it looks, and while it does as it was answered."""
    half = _told(Deed.HALF_CLOSED, "rehedge")
    for boundary in ("look.begun", "look.reported"):
        twice, blows = f"worker twice, {_words(half)}", (Blow(boundary, VICTIMS["worker"]),)
        yield replace(_while_away("worker", half), boundary=boundary, fault=twice, blows=blows)
    for story, boundaries in (
        (half, ("rehedge.arrived", "look.reported", "exchange.order.accepted", "execute_order.booked")),
        (_told(Deed.LEVERAGE, "rehedge"), ("exchange.updateLeverage.accepted", "set_leverage.reported")),
        (_told(Deed.HALF_CLOSED, "adopt"), ("look.reported", "current_price.reported")),
        (_told(Deed.HALF_CLOSED, "close"), ("exchange.order.accepted",)),
        (_told(Deed.BIT_OPENED, "release"), ("release.arrived",)),
    ):
        for boundary in boundaries:
            for victim in ("worker", "temporal"):
                blows = (Blow(boundary, VICTIMS[victim]),)
                yield Cell("a hand", boundary, f"{victim}, {_words(story)}", ANSWER, blows=blows, story=story)


def liquidated() -> Iterator[Cell]:
    for victim in VICTIMS:
        for story in (_told(Deed.LIQUIDATED, "close"), _told(Deed.LIQUIDATED, "release")):
            # Without faults it is paused when the price comes, and so decides otherwise.
            yield replace(_while_away(victim, story), group="liquidated", limits=Limits(same_orders=False))


def _told(deed: Deed, answer: Answer, price: Price = "stands still") -> Story:
    return Story(SHORT, hand=Hand(deed, answer, price))


def _while_away(victim: str, story: Story) -> Cell:
    return Cell("a hand", f"{victim} away", _words(story), HAND, held=VICTIMS[victim], story=story)


def _words(story: Story) -> str:
    assert story.hand is not None
    hand = story.hand
    price = "" if hand.price == "stands still" else f"price {hand.price}, "
    return f"{hand.deed}, {price}{hand.answer}"
