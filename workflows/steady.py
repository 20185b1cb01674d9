"""A run that is decided on once: the guard against a query that decides before its task.

temporalio 1.35: a query that waited for a worker that is gone or stands still is handed, with the history of now, to
the next one that asks for work. The SDK then has the workflow handle what came since its last task, a signal say, at
the time of that last task, answers, and keeps what was decided for the task that is still to come. A replay handles the
signal at that task's own time, and together with whatever else came before it: other commands, and the trade fails for
ever. The same where the history ends with a task that began, and was lost with its worker. See docs/adr/0009.
"""

import math
import time
from dataclasses import dataclass, field
from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import Info

from workflows.status import ASK_AGAIN

COMES_WITHIN_S = 1.0
"""A task is here that soon after it began, or it was handed to another worker, which is dead."""
REFUSES_FOR_S = 30.0
"""In a row, before it is the clocks that must be wrong."""


@dataclass(frozen=True)
class SteadyRunner(SandboxedWorkflowRunner):
    """The sandbox, whose runs refuse to get ahead of their tasks."""

    _punctuality: "_Punctuality" = field(default_factory=lambda: _Punctuality(), init=False, compare=False)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Steady(super().create_instance(det), self._punctuality)


class _Punctuality:
    """How late work comes here after Temporal says that its task began, beside how late it can't help coming.

    Two clocks are compared, so only differences count; and what would be refused for long is taken after all.
    """

    def __init__(self) -> None:
        self._started_s = time.time() - time.monotonic()
        self._least_s = math.inf
        self._refusing_since_s: float | None = None

    def is_too_late(self, task_ns: int, limit_s: float) -> bool:
        """Whether a task that began then is over by now, and somebody else's."""
        now_s = time.monotonic()
        late_s = self._started_s + now_s - task_ns / 1e9
        if late_s - self._least_s > limit_s:
            self._refusing_since_s = self._refusing_since_s or now_s
            if now_s - self._refusing_since_s < REFUSES_FOR_S:
                return True
            self._least_s = late_s
        self._least_s, self._refusing_since_s = min(self._least_s, late_s), None
        return False


class _Steady(WorkflowInstance):
    def __init__(self, inner: WorkflowInstance, punctuality: _Punctuality) -> None:
        self._inner = inner
        self._punctuality = punctuality
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
        """More events than at the last task, and no task that they would be of; or one that is over."""
        decides = any(job.WhichOneof("variant") not in ("query_workflow", "remove_from_cache") for job in act.jobs)
        if not decides or act.is_replaying:
            return False
        task_ns = act.timestamp.ToNanoseconds()
        if task_ns == self._task_ns:
            return act.history_length > self._seen_events
        return self._punctuality.is_too_late(task_ns, COMES_WITHIN_S)

    def get_serialization_context(self, command_info: Any) -> SerializationContext | None:
        return self._inner.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()
