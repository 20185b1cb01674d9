"""Tells a person, by the activity `notify`; what was not delivered yet is part of the workflow's state."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import Notice, NoticeKind
    from workflows.diary import now_ms

WAITING_MAX = 20
GIVES_UP_AFTER = timedelta(hours=1)
TELLS_WITHIN = timedelta(minutes=1)


class Told(Protocol):
    """The part of a workflow's state that is its messenger's."""

    notices: list[Notice]

    @property
    def about(self) -> str: ...


class Messenger:
    def __init__(self, record: Told, note: Callable[[str], None]) -> None:
        self._record = record
        self._note = note

    def tell(self, text: str, kind: NoticeKind = NoticeKind.ATTENTION) -> None:
        """Put it in the queue; of too many those go first that are not urgent, the oldest first."""
        if kind is not NoticeKind.ATTENTION and not workflow.patched("notices that are no alarm"):
            return
        notice = Notice(
            workflow_id=workflow.info().workflow_id,
            coin=self._record.about,
            text=text[:1000],
            at_ms=now_ms(),
            kind=kind,
        )
        waiting = [*self._record.notices, notice]
        if len(waiting) > WAITING_MAX:
            waiting.remove(next((each for each in waiting if not each.urgent), waiting[0]))
        self._record.notices = waiting

    async def all_told(self) -> None:
        """Before the trade is gone; but it doesn't wait long for whoever should hear it."""
        if self._record.notices:
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: not self._record.notices, timeout=TELLS_WITHIN)

    async def deliver_forever(self) -> None:
        while True:
            await workflow.wait_condition(lambda: bool(self._record.notices))
            notice = next((each for each in self._record.notices if each.urgent), self._record.notices[0])
            try:
                await workflow.execute_activity(
                    "notify",
                    notice,
                    start_to_close_timeout=timedelta(seconds=30),
                    schedule_to_close_timeout=GIVES_UP_AFTER,
                    retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
                    summary="tell a person",
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                self._note(f"a notice was not delivered: {error.cause}")
            self._record.notices = [each for each in self._record.notices if each != notice]
