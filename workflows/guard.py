"""Nothing an operator sends may wedge or end a trade: it is refused here, noted, and the trade goes on.

Without this an exception in a signal handler fails the workflow task for ever (or the workflow itself).
"""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception
from temporalio.worker import (
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)


class _Guard(WorkflowInboundInterceptor):
    async def handle_signal(self, input: HandleSignalInput) -> None:
        try:
            await super().handle_signal(input)
        except workflow.ContinueAsNewError:
            raise
        except Exception as error:
            # Any exception: left alone it fails the workflow task for ever, whatever its type.
            if is_cancelled_exception(error):
                raise
            workflow.instance().note_refused(input.signal, error)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        try:
            return await super().handle_update_handler(input)
        except (FailureError, workflow.ContinueAsNewError):
            raise
        except Exception as error:
            # The same; here the caller gets it as an answer.
            if is_cancelled_exception(error):
                raise
            raise ApplicationError(f"{type(error).__name__}: {error}", non_retryable=True) from error


class SafeHandlers(Interceptor):
    """Give it to every worker of trades."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        return _Guard
