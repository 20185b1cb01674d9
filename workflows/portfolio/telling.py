"""The portfolio's word to a trade: a signal that is repeated until Temporal takes it, or the trade is gone."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import Message

AGAIN_AFTER = timedelta(seconds=5)


class TradeGone(Exception):
    """No trade of that id runs any more."""


async def tell(trade: str, signal: str, message: Message) -> None:
    """Raises TradeGone."""
    while True:
        try:
            await workflow.get_external_workflow_handle(trade).signal(signal, message)
        except ApplicationError as error:
            raise TradeGone(str(error)) from error
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("%s was not told %s: %s", trade, signal, error)
            await workflow.sleep(AGAIN_AFTER)
        else:
            return
