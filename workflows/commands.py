"""What operators may ask of a running trade: read, checked against the mode it is in, written down for the loop."""

from collections.abc import Sequence
from typing import TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import Message, Outage
    from journal.entries import OperatorRecord, RejectedInput
    from workflows.asked import (
        Adopt,
        Answer,
        Close,
        Edit,
        Pause,
        Rehedge,
        Release,
        Resume,
        SetUnitSize,
        Stop,
        printable,
    )
    from workflows.contracts import Away, Mode, TradeRecord
    from workflows.diary import Diary, now_ms
    from workflows.editing import edit_refusal, new_grid_refusal
    from workflows.granting import Granted, Leave, Occasion, Review
    from workflows.leaving import leave_words
    from workflows.reading import read_one

NOTES_KEPT = 50
UNREADABLE = "[a payload can't be read"
"""How what no converter can decode arrives here: see `encryption.TellingConverter`."""
AWAY_WAITING_MAX = 10
AHEAD_MS_MAX = 30_000
BEFORE_THE_POSITION = (Mode.OPENING, Mode.ASKING, Mode.WAITING)

M = TypeVar("M", bound=Message)


class Commands:
    """Each command has a check, which raises ValueError with what is allowed, and an effect on the record."""

    def __init__(self, record: TradeRecord, diary: Diary) -> None:
        self._record = record
        self._diary = diary

    def read(self, model: type[M], given: object, extra: Sequence[object]) -> M:
        return read_one(model, given, extra)

    def check_pause(self, _: Pause) -> None:
        self._require("pause", Mode.TRADING)

    def pause(self, asked: Pause) -> str:
        self.check_pause(asked)
        self._record.mode = Mode.PAUSED
        return self._done("pause", asked, "paused: units are tracked without orders")

    def check_resume(self, _: Resume) -> None:
        self._require("resume", Mode.PAUSED, Mode.ATTENTION)

    def resume(self, asked: Resume) -> str:
        self.check_resume(asked)
        self._record.mode, self._record.attention = Mode.TRADING, None
        self._record.look_due = "resumed"
        # Told anew if it is still there.
        self._record.difference = None
        self._record.order_times_ms = []
        return self._done("resume", asked, "trading: one order takes the position to where the price is now")

    def check_close(self, _: Close) -> None:
        self._require("close", Mode.ASKING, Mode.WAITING, Mode.TRADING, Mode.PAUSED, Mode.ATTENTION)

    def close(self, asked: Close) -> str:
        self.check_close(asked)
        self._begin_closing(asked.reason or "asked by the operator")
        return self._done("close", asked, "closing")

    def check_stop(self, _: Stop) -> None:
        self._refuse("stop", Mode.STOPPED, Mode.CLOSED)

    def stop(self, asked: Stop) -> str:
        """Also of a trade that is opening or closing: it then ends up stopped."""
        self.check_stop(asked)
        self._record.stopping = True
        self._begin_closing(asked.reason or "emergency stop")
        return self._done("stop", asked, "stopping")

    def _begin_closing(self, reason: str) -> None:
        record = self._record
        record.close_reason, record.attention, record.new_unit_size, record.answer = reason, None, None, None
        record.new_input = None
        if record.mode not in BEFORE_THE_POSITION:
            record.mode = Mode.CLOSING

    def check_adopt(self, _: Adopt) -> None:
        self._require("adopt", Mode.ATTENTION)

    def adopt(self, asked: Adopt) -> str:
        self.check_adopt(asked)
        return self._answer(Answer.ADOPT, asked, "a new cycle begins with what the exchange holds")

    def check_rehedge(self, _: Rehedge) -> None:
        self._require("rehedge", Mode.ATTENTION)

    def rehedge(self, asked: Rehedge) -> str:
        self.check_rehedge(asked)
        return self._answer(Answer.REHEDGE, asked, "one order makes the exchange hold what the ladder wants")

    def check_release(self, _: Release) -> None:
        self._require("release", Mode.ATTENTION, Mode.PAUSED, Mode.CLOSING, Mode.STOPPED)

    def release(self, asked: Release) -> str:
        self.check_release(asked)
        stop = self._record.stop
        rests = f"; its backstop rests on, at {stop.terms.trigger_price:f}" if stop is not None else ""
        return self._answer(Answer.RELEASE, asked, f"the trade ends without an order{rests}")

    def _answer(self, answer: Answer, asked: Message, result: str) -> str:
        self._record.answer = answer
        self._record.order_times_ms = []
        return self._done(answer.value, asked, result)

    def was_away(self, outage: Outage) -> None:
        """Something was gone and is back: look what the exchange holds, and report what it meant."""
        record = self._record
        if record.mode in (*BEFORE_THE_POSITION, Mode.CLOSING, Mode.CLOSED):
            return
        if outage.to_ms < outage.from_ms or outage.to_ms > now_ms() + AHEAD_MS_MAX:
            raise ValueError(f"from_ms is {outage.from_ms}, to_ms {outage.to_ms}; a stretch that is over is allowed")
        told = [each.outage for each in record.away] + [
            Outage(who=each.who, from_ms=each.from_ms, to_ms=each.to_ms) for each in record.away_reports
        ]
        record.look_due = f"{outage.who} was away"
        # Another process may have told it, and a trade misses nothing before it is there.
        if outage.to_ms < record.opened_ms or any(outage.overlaps(each) for each in told):
            return
        record.away = [*record.away, Away(outage=outage, heard_ms=now_ms())][-AWAY_WAITING_MAX:]

    def cancelled(self) -> None:
        """Temporal's own Cancel means the same: a trade is never left with its position open and nobody watching."""
        if self._record.mode is Mode.STOPPED:
            self._record.answer = Answer.RELEASE
        elif self._record.close_reason is None:
            self._begin_closing("cancelled in Temporal")
        self.note("cancelled in Temporal: closing")

    def check_set_unit_size(self, asked: SetUnitSize) -> None:
        self._require("set_unit_size", Mode.TRADING, Mode.PAUSED)
        record = self._record
        assert record.last_price is not None
        if refusal := new_grid_refusal(record, record.last_price, asked.unit_size):
            raise ValueError(refusal)

    def set_unit_size(self, asked: SetUnitSize) -> str:
        self.check_set_unit_size(asked)
        self._record.new_unit_size = asked.unit_size
        return self._done("set_unit_size", asked, f"a new grid of {asked.unit_size:f} USD begins at the current price")

    def check_edit(self, asked: Edit) -> None:
        self._require("edit", Mode.WAITING, Mode.TRADING, Mode.PAUSED)
        if refusal := edit_refusal(self._record, asked.input):
            raise ValueError(refusal)

    def edit(self, asked: Edit) -> str:
        self.check_edit(asked)
        self._record.new_input = asked.input
        return self._done("edit", asked, "the new version is followed from the next decision on")

    def granted(self, answer: Granted) -> None:
        """Of another ask than the open one, or told once more: nothing new."""
        record, open_ask = self._record, self._record.open_ask
        if open_ask is not None and open_ask.ask.ask_id == answer.ask_id and open_ask.answer is None:
            record.open_ask = open_ask.model_copy(update={"answer": answer})

    def review(self, asked: Review) -> None:
        self._require("review", Mode.TRADING, Mode.PAUSED, Mode.ATTENTION)
        record = self._record
        if record.input.portfolio is None:
            raise ValueError("review is for a trade that has its margin from a portfolio; this one has its own")
        record.ask_due = record.ask_due or Occasion.REVIEW
        record.ends_cycle = record.ends_cycle or asked.now
        self._done("review", asked, "the cycle ends here" if asked.now else "the margin is asked for at 100% long")

    def check_leave(self, asked: Leave) -> None:
        self._refuse("leave", Mode.CLOSING, Mode.STOPPED, Mode.CLOSED)
        if asked.until_ms is not None and asked.until_ms <= now_ms():
            raise ValueError(f"until_ms is {asked.until_ms}; a moment ahead is allowed")

    def leave(self, asked: Leave) -> str:
        """The newest word counts, with its profit and its date."""
        self.check_leave(asked)
        if self._record.mode in (Mode.ASKING, Mode.WAITING):
            self._begin_closing(asked.reason or "left before the entry")
            return self._done("leave", asked, "nothing is held: the trade ends")
        self._record.leave = asked
        return self._done("leave", asked, leave_words(asked))

    def end(self, reason: str) -> None:
        """A limit of the plan, or its last moment: the trade closes as if it had been told to."""
        record = self._record
        if record.close_reason is None and record.mode not in (Mode.STOPPED, Mode.CLOSED):
            self._begin_closing(reason)
            self.note(reason)

    def refused(self, name: str, text: str) -> None:
        """Nothing is lost: what was refused is in the notes and the journal."""
        if UNREADABLE in text and not workflow.patched("reconcile"):
            return  # Release 0.1.0 never heard of it, and its runs have to replay.
        name, text = printable(name[:100]), printable(text[:500])
        self.note(f"{name} refused: {text}")
        if self._record.trade is not None:
            self._diary.add(RejectedInput, name=name, payload="", text=text)

    def note(self, text: str) -> None:
        """Something people should see that changes nothing."""
        workflow.logger.warning("%s", text)
        self._record.notes = [*self._record.notes, text[:300]][-NOTES_KEPT:]

    def _require(self, command: str, *modes: Mode) -> None:
        if self._record.mode not in modes:
            allowed = " or ".join(modes)
            raise ValueError(f"{command} is for a trade that is {allowed}; this one is {self._record.mode}")

    def _refuse(self, command: str, *modes: Mode) -> None:
        if self._record.mode in modes:
            raise ValueError(f"{command} is for a trade that is open; this one is {self._record.mode}")

    def _done(self, command: str, asked: Message, result: str) -> str:
        if self._record.trade is not None:
            self._diary.add(OperatorRecord, command=command, arguments=asked.model_dump(mode="json"), result=result)
        return result
