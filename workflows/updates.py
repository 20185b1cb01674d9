"""Commands that answer: each is the signal of its name, checked before it enters history, and says what came of it."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from strategy.values import plain
    from workflows.asked import Adopt, Close, Edit, Pause, Rehedge, Release, Resume, SetUnitSize, Stop
    from workflows.commands import Commands
    from workflows.contracts import Mode, TradeRecord
    from workflows.granting import Leave

ANSWERS_AFTER = timedelta(seconds=90)
"""At the latest: a handler that waits for ever would keep the run from being renewed."""


class Updates:
    _record: TradeRecord
    _commands: Commands
    _reconciles: bool

    @workflow.update(name="pause", description="As the signal, with an answer")
    async def update_pause(self, given: Any = None, *extra: Any) -> str:
        return self._commands.pause(self._commands.read(Pause, given, extra))

    @update_pause.validator
    def _check_pause(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_pause(self._commands.read(Pause, given, extra))

    @workflow.update(name="resume", description="As the signal, with an answer")
    async def update_resume(self, given: Any = None, *extra: Any) -> str:
        return self._commands.resume(self._commands.read(Resume, given, extra))

    @update_resume.validator
    def _check_resume(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_resume(self._commands.read(Resume, given, extra))

    @workflow.update(name="close", description="As the signal; answers when the exchange is flat")
    async def update_close(self, given: Any = None, *extra: Any) -> str:
        self._commands.close(self._commands.read(Close, given, extra))
        return await self._until_flat()

    @update_close.validator
    def _check_close(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_close(self._commands.read(Close, given, extra))

    @workflow.update(name="stop", description="As the signal; answers when the exchange is flat")
    async def update_stop(self, given: Any = None, *extra: Any) -> str:
        self._commands.stop(self._commands.read(Stop, given, extra))
        return await self._until_flat()

    @update_stop.validator
    def _check_stop(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_stop(self._commands.read(Stop, given, extra))

    async def _until_flat(self) -> str:
        ends = (Mode.CLOSED, Mode.STOPPED, Mode.ATTENTION)
        try:
            await workflow.wait_condition(lambda: self._record.mode in ends, timeout=ANSWERS_AFTER)
        except TimeoutError:
            return f"closing: {self._record.attention or 'the market takes no order yet'}; it is tried on"
        return self._how_it_closed()

    @workflow.update(name="adopt", description="As the signal; answers when the new cycle stands")
    async def update_adopt(self, given: Any = None, *extra: Any) -> str:
        return await self._until_answered(self._commands.adopt(self._commands.read(Adopt, given, extra)))

    @update_adopt.validator
    def _check_adopt(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_adopt(self._commands.read(Adopt, given, extra))

    @workflow.update(name="rehedge", description="As the signal; answers when the order is due")
    async def update_rehedge(self, given: Any = None, *extra: Any) -> str:
        return await self._until_answered(self._commands.rehedge(self._commands.read(Rehedge, given, extra)))

    @update_rehedge.validator
    def _check_rehedge(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_rehedge(self._commands.read(Rehedge, given, extra))

    @workflow.update(name="release", description="As the signal; answers when the trade has let go")
    async def update_release(self, given: Any = None, *extra: Any) -> str:
        return await self._until_answered(self._commands.release(self._commands.read(Release, given, extra)))

    @update_release.validator
    def _check_release(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_release(self._commands.read(Release, given, extra))

    async def _until_answered(self, done: str) -> str:
        record = self._record
        try:
            await workflow.wait_condition(lambda: record.answer is None, timeout=ANSWERS_AFTER)
        except TimeoutError:
            return f"{done}; the exchange does not answer yet"
        if record.mode is Mode.ATTENTION:
            return f"attention: {record.attention}"
        return done

    @workflow.update(name="leave", description="As the signal; answers with what will happen")
    async def update_leave(self, given: Any = None, *extra: Any) -> str:
        return self._commands.leave(self._commands.read(Leave, given, extra))

    @update_leave.validator
    def _check_leave(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_leave(self._commands.read(Leave, given, extra))

    @workflow.update(name="set_unit_size", description="As the signal; answers when the new grid stands")
    async def update_set_unit_size(self, given: Any = None, *extra: Any) -> str:
        asked = self._commands.read(SetUnitSize, given, extra)
        self._commands.set_unit_size(asked)
        await workflow.wait_condition(lambda: self._record.new_unit_size is None)
        if self._record.attention:
            return f"attention: {self._record.attention}"
        return self._grid_in_words(asked)

    @update_set_unit_size.validator
    def _check_set_unit_size(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_set_unit_size(self._commands.read(SetUnitSize, given, extra))

    @workflow.update(name="edit", description="As the signal; answers when the new version is followed")
    async def update_edit(self, given: Any = None, *extra: Any) -> str:
        asked = self._commands.read(Edit, given, extra)
        done = self._commands.edit(asked)
        await workflow.wait_condition(lambda: self._record.new_input is None)
        if self._record.input != asked.input:
            raise ApplicationError("; ".join(self._record.notes[-1:]) or "the trade is closing", non_retryable=True)
        return done

    @update_edit.validator
    def _check_edit(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_edit(self._commands.read(Edit, given, extra))

    def _how_it_closed(self) -> str:
        record = self._record
        if record.state is None:
            return f"closed: nothing was opened on {record.input.coin}"
        if record.mode is Mode.ATTENTION:
            return f"attention: {record.attention}"
        proof = record.flat_proof
        if proof is not None and (proof.left_size or proof.others):
            parts = ", ".join(f"{name} {plain(size):f}" for name, size in proof.others.items()) or "no trade's"
            left = f"the exchange holds {plain(proof.left_size):f} {record.input.coin} ({parts})"
            return f"{record.mode}: nothing of this trade is left; {left}"
        how = "is flat" if record.flat_proof is not None or not self._reconciles else "was released as it is"
        return f"{record.mode}: {record.input.coin} {how}"

    def _grid_in_words(self, asked: SetUnitSize) -> str:
        assert self._record.state is not None
        grid = self._record.state.grid
        if grid.unit_size != asked.unit_size:
            raise ApplicationError("; ".join(self._record.notes[-1:]) or "the trade is closing", non_retryable=True)
        return f"units of {plain(grid.unit_size)} USD from {plain(grid.anchor_price)}"
