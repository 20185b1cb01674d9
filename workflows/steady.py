"""A run that is decided on once: the guard against a query that decides before its task.

temporalio 1.35: a query that waited for a worker that is gone or stands still is handed, with the history of now, to
the next one that asks for work. The SDK then has the workflow handle what came since its last task, a signal say, at
the time of that last task, answers, and keeps what was decided for the task that is still to come. A replay handles the
signal at that task's own time, and together with whatever else came before it: other commands, and the trade fails for
ever. The same where the history ends with a task that began, and was lost with its worker. See docs/adr/0009.
"""

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

COMES_WITHIN_S = 0.25
"""A task is here that soon after it began, or perhaps it was handed to another worker, which is dead."""
LATE_FOR_S = 30.0
"""In a row, before it is the clocks that must be wrong."""


@dataclass(frozen=True)
class SteadyRunner(SandboxedWorkflowRunner):
    """The sandbox, whose runs refuse to get ahead of their tasks.

    A refused query makes the SDK forget the run, and with it what was decided and not yet sent. So a task that comes
    late is taken, and only a query that follows it is refused: no trade waits for its guard however loaded its worker.
    """

    _punctuality: "_Punctuality" = field(default_factory=lambda: _Punctuality(), init=False, compare=False)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Steady(super().create_instance(det), self._punctuality)


class _Punctuality:
    """How late work comes here after Temporal says that its task began, beside how late it can't help coming.

    Two clocks are compared: they are taken for equal until a task comes sooner, and what is late for long is no more.
    """

    def __init__(self) -> None:
        self._started_s = time.time() - time.monotonic()
        self._least_s = 0.0
        self._late_since_s: float | None = None
        self._refused_s: dict[str, float] = {}
        """By run, and only the newest: a refusal takes with it the tasks that had begun before."""

    def refused(self, run_id: str) -> None:
        now_s = time.monotonic()
        lately = {run: at_s for run, at_s in self._refused_s.items() if now_s - at_s < LATE_FOR_S}
        self._refused_s = {**lately, run_id: now_s}

    def is_doubtful(self, run_id: str, came_s: float, task_ns: int, limit_s: float) -> bool:
        """Whether a task that began then, and came at this time of the monotonic clock, may be over or another's."""
        late_s = self._started_s + came_s - task_ns / 1e9
        began_s = came_s - (late_s - self._least_s)
        return self._is_too_late(came_s, late_s, limit_s) or began_s <= self._refused_s.get(run_id, -1.0)

    def _is_too_late(self, came_s: float, late_s: float, limit_s: float) -> bool:
        if late_s - self._least_s > limit_s:
            self._late_since_s = self._late_since_s or came_s
            if came_s - self._late_since_s < LATE_FOR_S:
                return True
            self._least_s = late_s
        self._least_s, self._late_since_s = min(self._least_s, late_s), None
        return False


class _Steady(WorkflowInstance):
    def __init__(self, inner: WorkflowInstance, punctuality: _Punctuality) -> None:
        self._inner = inner
        self._punctuality = punctuality
        self._seen_events = 0
        self._task_ns = -1
        self._is_doubtful = False
        self._read_anew_s: float | None = time.monotonic()

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        kinds = {job.WhichOneof("variant") for job in act.jobs}
        decides = not act.is_replaying and bool(kinds - {"query_workflow", "remove_from_cache"})
        task_ns = act.timestamp.ToNanoseconds()
        belongs_to_no_task = decides and task_ns == self._task_ns and act.history_length > self._seen_events
        if belongs_to_no_task or (self._is_doubtful and _waited(act)):
            self._punctuality.refused(act.run_id)
            refused = WorkflowActivationCompletion(run_id=act.run_id)
            refused.failed.failure.message = ASK_AGAIN
            return refused
        if decides and task_ns != self._task_ns:
            # What is read anew came before it was read, which may take long.
            came_s = time.monotonic() if self._read_anew_s is None else self._read_anew_s
            self._is_doubtful = self._punctuality.is_doubtful(act.run_id, came_s, task_ns, COMES_WITHIN_S)
        if not act.is_replaying or "query_workflow" in kinds:
            self._read_anew_s = None
        self._seen_events, self._task_ns = act.history_length, task_ns
        return self._inner.activate(act)

    # No converter here looks at what these two say of a payload, and nothing is stored outside of histories. A look
    # into the sandbox for every payload is a third of reading a run anew, and up to a tenth of a task.

    def get_serialization_context(self, command_info: Any) -> SerializationContext | None:
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


def _waited(act: WorkflowActivation) -> bool:
    """Whether somebody asks outside of a task, which is how a query that waited comes."""
    return any(job.query_workflow.query_id == "legacy_query" for job in act.jobs if job.HasField("query_workflow"))
