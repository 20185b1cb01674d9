"""Another key signs: from a workflow's next run on, once a worker has said that it holds it.

    sign_by ── asked ── confirmed ── the next run
                  └─ nobody holds it, or it may not sign ── refused, and noted

In between two runs no nonce is drawn and nothing is sent, so none is drawn for one key and used by another. What was
begun is finished by the key that began it: an intent carries its signer, and goes where that key is.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import AccountQuestion, SignBy, orders_queue
    from journal.entries import OperatorRecord
    from workflows.diary import Diary

CONFIRMED_WITHIN = timedelta(seconds=10)
"""Nothing else is done meanwhile by a trade; whoever told it tells it again."""
ASK_AGAIN = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=2))


class Signing(Protocol):
    """The part of a workflow's state that says by whose key it signs."""

    account: str
    signer: str
    next_signer: str | None

    @property
    def network(self) -> str: ...


class Handover:
    def __init__(self, record: Signing, diary: Diary, refused: Callable[[str, str], None]) -> None:
        """`refused` hears the signal's name and why."""
        self._record = record
        self._diary = diary
        self._refused = refused
        self._confirmed: str | None = None

    def told(self, asked: SignBy) -> None:
        """What is of another account, or signs by that key as it is, has nothing to do."""
        record = self._record
        if asked.account == record.account:
            record.next_signer = asked.signer if asked.signer != record.signer else None

    @property
    def is_asked(self) -> bool:
        return self._record.next_signer is not None and not self.is_confirmed

    @property
    def is_confirmed(self) -> bool:
        return self._record.next_signer is not None and self._record.next_signer == self._confirmed

    async def confirm_forever(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self.is_asked)
            await self.confirm()

    async def confirm(self) -> None:
        """Where no worker holds the key, all would stand still for good."""
        record, signer = self._record, self._record.next_signer
        assert signer is not None
        try:
            await workflow.execute_activity(
                "may_sign",
                AccountQuestion(network=record.network, account=record.account),
                task_queue=orders_queue(signer),
                schedule_to_close_timeout=CONFIRMED_WITHIN,
                retry_policy=ASK_AGAIN,
                summary=f"may {signer} sign from now on?",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            if record.next_signer == signer:
                record.next_signer = None
            self._refused("sign_by", f"signer is {signer}: {_why(error)}")
        else:
            self._confirmed = signer

    def take_over(self) -> None:
        """The run that begins now signs by it."""
        record, former = self._record, self._record.signer
        assert record.next_signer is not None
        record.signer, record.next_signer = record.next_signer, None
        arguments = {"account": record.account, "signer": record.signer}
        self._diary.add(OperatorRecord, command="sign_by", arguments=arguments, result=f"{former} signed before")


def _why(error: ActivityError) -> str:
    if isinstance(error.cause, ApplicationError):
        return error.cause.message
    return f"no worker that holds its key answered within {CONFIRMED_WITHIN.seconds} s"
