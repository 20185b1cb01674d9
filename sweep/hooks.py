"""The boundaries in the life of a trade, watched from outside: the product's code knows nothing of this.

`install` wraps what the worker and the feed call anyway: Temporal's client, its bridge to the server, activities, the
exchange's transport, the journal. At each boundary `ask` is called with its name and may block: the process then stands
still exactly there. Nothing is asked inside the workflow sandbox, and nothing while a history is replayed.

Names say what comes next or has just happened: `exchange.order.signed` (not sent yet), `exchange.order.sent` (on the
wire), `execute_order.recorded` (scheduled, in Temporal's history), `execute_order.done` (not reported yet).
"""

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from aiohttp.http_writer import StreamWriter
from temporalio import activity
from temporalio.bridge.worker import Worker as BridgeWorker
from temporalio.client import Client, OutboundInterceptor, QueryWorkflowInput, SignalWorkflowInput
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
)
from temporalio.worker import Interceptor as WorkerInterceptor

from exchange.transport import Transport
from feed.courier import Courier
from journal.store import Journal

Ask = Callable[[str], None]

BOOKED = ("execute_order", "cancel_order")
"""Activities that change what a trade believes: the server has what came of them."""
_request: ContextVar[str | None] = ContextVar("request", default=None)
"""The exchange request that this task is sending."""


def install(ask: Ask, *, renew_above: int | None = None) -> None:
    """Once per process. `renew_above`: events after which Temporal seems to suggest that a run is continued as new."""
    _watch_client(ask)
    _watch_activities(ask)
    _watch_workflows(ask, renew_above)
    _watch_requests(ask)
    _wrap(Journal, "append", after=lambda *_: ask("journal.written"))
    _watch_prices(ask)


def _watch_client(ask: Ask) -> None:
    connect = Client.connect.__func__  # type: ignore[attr-defined]

    async def watched(cls: type[Client], *arguments: Any, **options: Any) -> Client:
        options["interceptors"] = [*options.get("interceptors", ()), _Watching(ask)]
        client: Client = await connect(cls, *arguments, **options)
        return client

    Client.connect = classmethod(watched)  # type: ignore[assignment, method-assign]


class _Watching(ClientInterceptor, WorkerInterceptor):
    """A worker takes its client's interceptors along."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # Temporal's own name
        return _Outbound(next, self._ask)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self._ask)


class _Outbound(OutboundInterceptor):
    """What the feed says to a trade, and asks it."""

    def __init__(self, inner: OutboundInterceptor, ask: Ask) -> None:
        super().__init__(inner)
        self._ask = ask

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        self._ask(f"signal.{input.signal}.due")
        await super().signal_workflow(input)
        self._ask(f"signal.{input.signal}.sent")

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:
        answer = await super().query_workflow(input)
        self._ask(f"query.{input.query}.answered")
        return answer


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, ask: Ask) -> None:
        super().__init__(inner)
        self._ask = ask

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        super().init(_Heartbeats(outbound, self._ask))

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        name = activity.info().activity_type
        self._ask(f"{name}.begun")
        result = await super().execute_activity(input)
        self._ask(f"{name}.done")
        return result


class _Heartbeats(ActivityOutboundInterceptor):
    def __init__(self, inner: ActivityOutboundInterceptor, ask: Ask) -> None:
        super().__init__(inner)
        self._ask = ask

    def heartbeat(self, *details: Any) -> None:
        name = activity.info().activity_type
        self._ask(f"{name}.heartbeat.due")
        super().heartbeat(*details)
        self._ask(f"{name}.heartbeat.sent")


def _watch_activities(ask: Ask) -> None:
    """When the server has an activity's result."""
    names: dict[bytes, str] = {}

    def polled(_: Any, task: Any) -> None:
        if task.HasField("start"):
            names[task.task_token] = task.start.activity_type

    def completed(_: Any, completion: Any, *__: Any) -> None:
        if name := names.pop(completion.task_token, None):
            ask(f"{name}.reported")

    _wrap(BridgeWorker, "poll_activity_task", after_result=polled)
    _wrap(BridgeWorker, "complete_activity_task", after=completed)


def _watch_workflows(ask: Ask, renew_above: int | None) -> None:
    """What reaches a workflow and what it decides, before and after the server has it."""
    activities: dict[tuple[str, int], str] = {}
    arrived: dict[str, list[str]] = {}
    replaying: dict[str, bool] = {}

    def polled(_: Any, activation: Any) -> None:
        run_id = activation.run_id
        if renew_above is not None and activation.history_length > renew_above:
            # The same on every replay: the length is a fact of the history.
            activation.continue_as_new_suggested = True
        replaying[run_id] = activation.is_replaying
        arrived[run_id] = []
        for job in activation.jobs:
            if job.HasField("signal_workflow"):
                arrived[run_id].append(f"{job.signal_workflow.signal_name}.arrived")
            elif job.HasField("resolve_activity"):
                name = activities.pop((run_id, job.resolve_activity.seq), "activity")
                arrived[run_id].append(f"{name}.arrived")
            elif job.HasField("remove_from_cache"):
                replaying[run_id] = True
        if not replaying[run_id]:
            for name in arrived[run_id]:
                ask(name)

    def decisions(completion: Any) -> list[str]:
        found = []
        for command in completion.successful.commands:
            if command.HasField("schedule_activity"):
                scheduled = command.schedule_activity
                activities[completion.run_id, scheduled.seq] = scheduled.activity_type
                found.append(scheduled.activity_type)
            elif command.HasField("continue_as_new_workflow_execution"):
                found.append("renewal")
        return [] if replaying.get(completion.run_id) else found

    complete = BridgeWorker.complete_workflow_activation

    async def watched(self: BridgeWorker, completion: Any) -> None:
        made = decisions(completion)
        came = () if replaying.get(completion.run_id) else arrived.get(completion.run_id, ())
        for name in made:
            ask(f"{name}.decided")
        await complete(self, completion)
        for name in made:
            ask(f"{name}.recorded")
        for name in BOOKED:
            if f"{name}.arrived" in came:
                ask(f"{name}.booked")

    _wrap(BridgeWorker, "poll_workflow_activation", after_result=polled)
    BridgeWorker.complete_workflow_activation = watched  # type: ignore[assignment, method-assign]


def _watch_requests(ask: Ask) -> None:
    """A request to the exchange: signed, sent, answered or not."""
    call = Transport._call  # the one place all requests pass

    async def watched(self: Transport, send: Any, path: str, kind: str, *rest: Any) -> Any:
        name = f"{path}.{kind}"
        ask(f"{name}.signed")
        token = _request.set(name)
        try:
            answer = await call(self, send, path, kind, *rest)
        except BaseException:
            ask(f"{name}.unanswered")
            raise
        finally:
            _request.reset(token)
        ask(f"{name}.answered")
        return answer

    def written(*_: Any) -> None:
        if name := _request.get():
            ask(f"{name}.sent")

    Transport._call = watched  # type: ignore[assignment, method-assign]
    _wrap(StreamWriter, "write_eof", after=written)


def _watch_prices(ask: Ask) -> None:
    take = Courier.take

    def watched(self: Courier, trade: Any) -> None:
        ask("feed.price")
        take(self, trade)

    Courier.take = watched  # type: ignore[method-assign]


def _wrap(
    owner: type,
    name: str,
    *,
    after: Callable[..., None] | None = None,
    after_result: Callable[[Any, Any], None] | None = None,
) -> None:
    """Call `after` with the arguments, or `after_result` with the object and the result, once the coroutine is done."""
    original: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(original)
    async def watched(self: Any, *arguments: Any, **options: Any) -> Any:
        result = await original(self, *arguments, **options)
        if after is not None:
            after(self, *arguments)
        if after_result is not None:
            after_result(self, result)
        return result

    setattr(owner, name, watched)
