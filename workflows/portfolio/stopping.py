"""The emergency stop of an account that has no portfolio: it ends with the proof that everything is flat."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import TRADES_QUEUE, AccountIdentity, SignedBy
    from workflows.portfolio.asked import EmergencyStop
    from workflows.portfolio.emergency import Emergency, stop_everything
    from workflows.portfolio.grants import ASK_AGAIN
    from workflows.portfolio.handlers import read_stop
    from workflows.portfolio.record import Latch, StopProof
    from workflows.renewal import Renewal

AGAIN_AFTER = timedelta(seconds=5)


def emergency_stop_id(account_name: str) -> str:
    return f"emergency-stop-{account_name}"


class StopRecord(BaseModel):
    """Of the account that the worker serves on this network. Query `status`."""

    model_config = ConfigDict(extra="forbid")

    network: str = "paper"
    asked: EmergencyStop = EmergencyStop()
    account: str = ""
    signer: str = ""
    latch: Latch | None = None


@workflow.defn(name="EmergencyStop")
class AccountStop:
    @workflow.init
    def __init__(self, record: StopRecord) -> None:
        self._record = record
        self._emergency = Emergency(record, lambda _latch, _proof: None)
        self._renewal = Renewal()

    @workflow.run
    async def run(self, record: StopRecord) -> StopProof:
        if record.latch is None:
            self._stop(record.asked)
        stopping = asyncio.create_task(self._until_flat())
        await workflow.wait_condition(lambda: stopping.done() or self._renewal.can_be())
        if not stopping.done():
            workflow.continue_as_new(record)
        return await stopping

    @workflow.query(description="How far it is")
    def status(self) -> StopRecord:
        return self._record

    @workflow.query(description="By whose key it signs")
    def signed_by(self) -> SignedBy:
        return SignedBy(account=self._record.account, signer=self._record.signer)

    @workflow.signal(description='Asked again, or for more: {"reason": "...", "everything": true}')
    def emergency_stop(self, given: Any = None, *extra: Any) -> None:
        self._stop(read_stop(given, extra))

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, args: Sequence[RawValue]) -> None:
        raise ValueError(f"there is no signal {name}; emergency_stop exists")

    def note_refused(self, signal: str, error: Exception) -> None:
        workflow.logger.warning("%s refused: %s", signal, error)

    def _stop(self, asked: EmergencyStop) -> None:
        stop_everything(self._record, asked.reason or "asked by the operator", everything=asked.everything)

    async def _until_flat(self) -> StopProof:
        record = self._record
        while not record.account:
            await self._identify()
        while record.latch is None or record.latch.proof is None:
            await self._emergency.until_flat()
        return record.latch.proof

    async def _identify(self) -> None:
        """Whose account it is; tried for as long as it takes."""
        record = self._record
        try:
            found: AccountIdentity = await workflow.execute_activity(
                "identify_account",
                record.network,
                result_type=AccountIdentity,
                task_queue=TRADES_QUEUE,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=ASK_AGAIN,
                summary="whose account it is",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            assert record.latch is not None
            record.latch = record.latch.model_copy(update={"trouble": str(error.cause or error)[:500]})
            await workflow.sleep(AGAIN_AFTER)
        else:
            record.account, record.signer = found.account, found.signer
