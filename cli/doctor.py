"""`hypertrader doctor`: is everything there that a trade needs, and what to do about what is not."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated

import typer
from pydantic import BaseModel
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.channels import NOTIFY_VARIABLE
from activities.messages import FEED_QUEUE, TRADES_QUEUE, orders_queue
from activities.notifying import listed
from cli.common import AsJson, console, echo_json, run, settings
from cli.errors import BadOption, CommandFailed
from cli.former_keys import who_needs_them
from cli.temporal_server import ATTRIBUTES, retention
from connection import TemporalUnreachable, connect
from exchange.errors import ExchangeError
from exchange.gateway import HyperliquidGateway
from exchange.network import SetupRefused, load_key, load_keys
from journal.errors import JournalError
from journal.store import Journal
from settings import Settings

SKEW_MS_MAX = 2_000
RETENTION_MIN = timedelta(days=30)
ACTIONS_LEFT_MIN = 1_000
POLL_AGE_S_MAX = 75
"""A process that waits for work asks again every 60 s at the latest."""


class Finding(BaseModel):
    check: str
    ok: bool
    text: str
    """What was found."""
    cure: str = ""
    """What to do when it is not ok."""


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    only: Annotated[list[str] | None, typer.Option(help="Only this check; may be given more than once.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check what a trade needs and say what to do. Exit code 1 if anything is wrong."""
    chosen = settings()
    findings = run(examine(chosen, only or []))
    if as_json:
        echo_json(findings)
    else:
        for finding in findings:
            console.print(f"[{'green' if finding.ok else 'bold red'}]{'ok  ' if finding.ok else 'FAIL'}[/] ", end="")
            console.print(f"{finding.check:<20} {finding.text}", markup=False, soft_wrap=True)
            if not finding.ok:
                console.print(f"{'':26}-> {finding.cure}", markup=False, soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def examine(chosen: Settings, only: list[str]) -> list[Finding]:
    """Every check, or those named. A check that can't be made because one before it failed says so."""
    checks = _Checks(chosen)
    if unknown := [name for name in only if name not in checks.all]:
        raise BadOption(f"--only is {unknown[0]}: one of {', '.join(checks.all)} is allowed")
    try:
        return [await checks.make(name) for name in only or checks.all]
    finally:
        await checks.close()


class _Checks:
    """Each check returns what it found; raising CommandFailed("text -> cure") means that it failed."""

    def __init__(self, chosen: Settings) -> None:
        self._settings = chosen
        self._client: Client | None = None
        self._gateway: HyperliquidGateway | None = None
        self.all: dict[str, Callable[[], Awaitable[str]]] = {
            "temporal": self._temporal,
            "search attributes": self._search_attributes,
            "retention": self._retention,
            "worker": self._worker,
            "feed": self._feed,
            "key": self._key,
            "former keys": self._former_keys,
            "exchange": self._exchange,
            "clock": self._clock,
            "account": self._account,
            "address budget": self._address_budget,
            "savings": self._savings,
            "journal": self._journal,
            "notices": self._notices,
        }

    async def make(self, name: str) -> Finding:
        try:
            return Finding(check=name, ok=True, text=await self.all[name]())
        except CommandFailed as error:
            text, _, cure = str(error).partition(" -> ")
            return Finding(check=name, ok=False, text=text, cure=cure)
        except (TemporalUnreachable, RPCError) as error:
            cure = "start it with `hypertrader up`, or name its address with --temporal"
            return Finding(check=name, ok=False, text=_first_line(error), cure=cure)
        except (ExchangeError, SetupRefused, JournalError) as error:
            return Finding(check=name, ok=False, text=_first_line(error), cure=_cure_of(error))

    async def close(self) -> None:
        if self._gateway is not None:
            await self._gateway.close()

    async def _temporal(self) -> str:
        client = await self._connected()
        return f"answers at {self._settings.temporal_address}, namespace {client.namespace}"

    async def _search_attributes(self) -> str:
        client = await self._connected()
        answer = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        if missing := [name for name in ATTRIBUTES if name not in answer.custom_attributes]:
            commands = "; ".join(
                f"temporal operator search-attribute create --name {name} --type {ATTRIBUTES[name]}" for name in missing
            )
            raise CommandFailed(
                f"{', '.join(missing)} not registered -> start a worker, which does it, or run {commands}"
            )
        return f"{', '.join(ATTRIBUTES)} registered"

    async def _retention(self) -> str:
        kept = await retention(await self._connected())
        if kept < RETENTION_MIN:
            raise CommandFailed(
                f"closed trades stay visible for {kept} only -> temporal operator namespace update "
                f"-n {self._settings.temporal_namespace} --retention 2160h"
            )
        return f"closed trades stay visible for {kept.days} days"

    async def _worker(self) -> str:
        queues = [TRADES_QUEUE, *(orders_queue(key.address) for key in load_keys(self._settings))]
        return await self._polled(queues, "hypertrader worker")

    async def _feed(self) -> str:
        return await self._polled([FEED_QUEUE], "hypertrader feed")

    async def _polled(self, queues: list[str], command: str) -> str:
        client = await self._connected()
        found: set[str] = set()
        for queue in queues:
            request = DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            )
            answer = await client.workflow_service.describe_task_queue(request)
            oldest_s = time.time() - POLL_AGE_S_MAX
            fresh = {poller.identity for poller in answer.pollers if poller.last_access_time.seconds > oldest_s}
            if not fresh:
                raise CommandFailed(f"no process serves task queue {queue} -> start `{command}`")
            found |= fresh
        return f"{', '.join(sorted(found))} on {', '.join(queues)}"

    async def _key(self) -> str:
        key = load_key(self._settings)
        return f"signs as {key.address} on {self._settings.network.value}"

    async def _former_keys(self) -> str:
        return await who_needs_them(self._settings, await self._connected())

    async def _exchange(self) -> str:
        balance = await self._connected_gateway().get_balance("USDC")
        return f"answers; {balance.total:f} USD in the account, {balance.free:f} free"

    async def _clock(self) -> str:
        skew_ms = await self._connected_gateway().clock_skew_ms()
        if abs(skew_ms) > SKEW_MS_MAX:
            raise CommandFailed(
                f"this machine's clock is {skew_ms} ms ahead of the exchange's; {SKEW_MS_MAX} are allowed, as "
                f"orders expire by it -> set the clock by NTP (timedatectl set-ntp true)"
            )
        return f"{skew_ms} ms ahead of the exchange's"

    async def _account(self) -> str:
        gateway = self._connected_gateway()
        await gateway.check_account_mode()
        return f"{gateway.account} in a supported mode; {gateway.signer} may sign for it"

    async def _address_budget(self) -> str:
        budget = await self._connected_gateway().address_budget()
        text = f"{budget.left:,} of {budget.cap:,} requests left ({budget.volume_usd:,.0f} USD traded so far)"
        if budget.left < ACTIONS_LEFT_MIN:
            raise CommandFailed(
                f"{text} -> each USD traded brings one more; with none left one order passes every ten seconds: "
                f"take a larger unit size, which orders less often, or trade larger"
            )
        return text

    async def _savings(self) -> str:
        if await self._connected_gateway().spot.may_transfer():
            return "this key may move money between the account's sides"
        return (
            "this key may not move money between the account's sides: a portfolio's savings are owed until you move "
            "them by hand (perp -> spot)"
        )

    async def _journal(self) -> str:
        journal = Journal(self._settings.journal)
        await journal.open()
        try:
            known = await journal.trades()
        finally:
            await journal.close()
        return f"holds {len(known)} trades"

    async def _notices(self) -> str:
        found = listed()
        if not found:
            return f"logged by the worker; no {NOTIFY_VARIABLE} here"
        names = ", ".join(channel.name for channel in found)
        return f"sent to {names}, at most {self._settings.notify_per_hour} an hour each"

    async def _connected(self) -> Client:
        if self._client is None:
            self._client = await connect(self._settings)
        return self._client

    def _connected_gateway(self) -> HyperliquidGateway:
        if self._gateway is None:
            self._gateway = HyperliquidGateway.connect(self._settings, key=load_key(self._settings))
        return self._gateway


def _cure_of(error: Exception) -> str:
    match error:
        case SetupRefused():
            return "change that setting"
        case JournalError():
            return "see that the database runs and HYPERTRADER_JOURNAL_URL names it"
        case _:
            return "see that the exchange can be reached (paper: `hypertrader up`) and that the account is right"


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())
