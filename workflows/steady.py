"""A run that is decided on once: the guard against a query that decides before its task.

temporalio 1.35: a query that waited for a worker that is gone or stands still is handed, with the history of now, to
the next one that asks for work. The SDK then has the workflow handle what came since its last task, a signal say, at
the time of that last task, answers, and keeps what was decided for the task that is still to come. A replay handles the
signal at that task's own time, and together with whatever else came before it: other commands, and the trade fails for
ever. See docs/adr/0009.
"""

from dataclasses import dataclass
from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import Info

from workflows.status import ASK_AGAIN


@dataclass(frozen=True)
class SteadyRunner(SandboxedWorkflowRunner):
    """The sandbox, whose runs refuse to get ahead of their tasks."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Steady(super().create_instance(det))


class _Steady(WorkflowInstance):
    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner
        self._seen_events = 0
        self._task_ns = -1

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        if self._gets_ahead(act):
            refused = WorkflowActivationCompletion(run_id=act.run_id)
            refused.failed.failure.message = ASK_AGAIN
            return refused
        self._seen_events, self._task_ns = act.history_length, act.timestamp.ToNanoseconds()
        return self._inner.activate(act)

    def _gets_ahead(self, act: WorkflowActivation) -> bool:
        """More events than at the last task, and no task that they would be of."""
        decides = any(job.WhichOneof("variant") not in ("query_workflow", "remove_from_cache") for job in act.jobs)
        same_task = act.timestamp.ToNanoseconds() == self._task_ns
        return decides and not act.is_replaying and same_task and act.history_length > self._seen_events

    def get_serialization_context(self, command_info: Any) -> SerializationContext | None:
        return self._inner.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()
