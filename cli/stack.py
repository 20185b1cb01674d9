"""The whole of HyperTrader as processes on this machine: Temporal, the simulator, the worker, the feed.

    async with Stack(settings, Ports()) as stack:
        ...   # stack.settings, stack.client, stack.control, stack.children["worker"].kill()

A process that dies is started again; when the stack ends, all of them do, and what they were doing is in the state
folder for the next one.
"""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.channels import NOTIFY_VARIABLE
from activities.messages import FEED_QUEUE, TRADES_QUEUE
from cli import temporal_server
from cli.codec import PORT as CODEC_PORT
from cli.lock import StackLock
from cli.ports import HOST, Ports
from cli.processes import Child, Ready
from cli.venue import ControlApi
from connection import connect
from encryption import KEYS_VARIABLE, load_keys
from exchange.network import KEY_VARIABLE
from settings import Network, Settings

log = logging.getLogger("hypertrader.stack")

READY_TIMEOUT_S = 60.0
SECRETS = {KEY_VARIABLE: ("worker",), NOTIFY_VARIABLE: ("worker",), KEYS_VARIABLE: ("worker", "feed")}
"""Variables that only those children are given who need them."""


class Stack:
    """One state folder, one set of ports. On a real network there is no simulator and `control` is None."""

    def __init__(
        self,
        settings: Settings,
        ports: Ports,
        *,
        simulator_options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        state_dir = settings.state_dir.absolute()
        found: dict[str, object] = {"state_dir": state_dir, "temporal_address": f"{HOST}:{ports.temporal}"}
        if settings.trace_file is not None:
            found["trace_file"] = settings.trace_file.absolute()
        if settings.network is Network.PAPER:
            found["exchange_url"] = f"http://{HOST}:{ports.exchange}"
        self.settings = settings.model_copy(update=found)
        self.ports = ports
        self.children: dict[str, Child] = {}
        self.control: ControlApi | None = None
        self._simulator_options = tuple(simulator_options)
        self._extra_env = dict(env or {})
        self._client: Client | None = None
        self._lock = StackLock(state_dir)

    @property
    def client(self) -> Client:
        assert self._client is not None, "the stack is not started"
        return self._client

    @property
    def web_url(self) -> str:
        return f"http://{HOST}:{self.ports.ui}/namespaces/{self.settings.temporal_namespace}/workflows"

    @property
    def logs(self) -> Path:
        return self.settings.state_dir / "logs"

    async def start(self) -> None:
        """Everything answers when it returns. Raises CommandFailed with nothing left running."""
        self._lock.take()
        try:
            await self._start_all()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """In the order of who needs whom: feed, worker, simulator, Temporal."""
        if self.control is not None:
            await self.control.close()
        for child in reversed(self.children.values()):
            await child.stop()
        self.children.clear()
        self._lock.release()

    async def _start_all(self) -> None:
        self._client = await connect(self.settings, lazy=True)
        await self._start_temporal()
        if self.settings.network is Network.PAPER:
            await self._start_simulator()
        # Loading the code takes them seconds, and they wait for whoever they need: all start at once.
        await self._start_ours("worker", TRADES_QUEUE)
        await self._start_ours("feed", FEED_QUEUE)
        for child in self.children.values():
            await child.wait_ready()
        await temporal_server.keep_closed_trades(self.client)

    async def _start_temporal(self) -> None:
        argv = temporal_server.command(self.ports, self.settings.state_dir / "temporal.db")
        if load_keys(self.settings):
            # Asked by the Web UI's page in the browser: it says so itself when `hypertrader codec` doesn't run.
            argv += ["--ui-codec-endpoint", f"http://{HOST}:{CODEC_PORT}"]
        await self._start_child("temporal", argv, lambda: temporal_server.answers(self.client))

    async def _start_simulator(self) -> None:
        self.control = ControlApi(f"http://{HOST}:{self.ports.control}")
        ports = ["--port", str(self.ports.exchange), "--control-port", str(self.ports.control)]
        argv = [*hypertrader("simulator"), *ports, *self._simulator_options]
        await self._start_child("simulator", argv, self.control.answers)

    async def _start_ours(self, name: str, queue: str) -> None:
        await self._start_child(name, hypertrader(name), lambda: self._polls(name, queue))

    async def _start_child(self, name: str, argv: list[str], ready: Ready) -> None:
        child = Child(
            name,
            argv,
            log_file=self.logs / f"{name}.log",
            env=self._env_of(name),
            ready=ready,
            ready_timeout_s=READY_TIMEOUT_S,
            lock_fd=self._lock.fd,
            on_start=self._name_processes,
        )
        self.children[name] = child
        await child.start()

    def _name_processes(self) -> None:
        self._lock.name_holders({name: child.pid for name, child in self.children.items() if child.pid is not None})

    async def _polls(self, name: str, queue: str) -> bool:
        pid = self.children[name].pid
        return any(identity.startswith(f"{pid}@") for identity in await pollers(self.client, queue))

    def _env_of(self, name: str) -> dict[str, str]:
        """What a child reads its settings from: ours, and none from around us. Secrets are for those who need them."""
        around = {variable: value for variable, value in os.environ.items() if not _is_a_setting(variable)}
        own = {
            f"HYPERTRADER_{field.upper()}": str(value)
            for field, value in self.settings.model_dump(mode="json", exclude_none=True).items()
        }
        given = around | own | self._extra_env
        return {variable: value for variable, value in given.items() if name in SECRETS.get(variable, (name,))}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def hypertrader(*arguments: str) -> list[str]:
    """The command line of one of our own processes, run by this very Python."""
    return [sys.executable, "-m", "cli.main", *arguments]


async def pollers(client: Client, queue: str) -> list[str]:
    """Identities (pid@host) of those who ask for activities of a task queue; empty when Temporal is not there."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    try:
        answer = await client.workflow_service.describe_task_queue(request)
    except RPCError:
        return []
    return [poller.identity for poller in answer.pollers]


def _is_a_setting(variable: str) -> bool:
    return variable in {f"HYPERTRADER_{field.upper()}" for field in Settings.model_fields}
