"""The worker process: runs the trades' workflows, sends their orders, writes their journal."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxRestrictions

from activities.messages import TRADES_QUEUE, orders_queue
from activities.notifying import notify_url
from activities.recording import RecordingActivities
from activities.stopping import StoppingActivities
from activities.trading import TradingActivities
from connection import TemporalUnreachable, connect
from encryption import data_converter
from exchange.errors import NotSent, Unknown
from exchange.gateway import HyperliquidGateway
from exchange.governor import Governor
from exchange.network import endpoint, load_keys
from feed.former_keys import FormerKeys
from feed.presence import Presence
from feed.tasks import running
from journal.store import Journal
from settings import Settings
from telemetry import logs, metrics, tracing
from workflows.guard import SafeHandlers
from workflows.portfolio.scheduled import ScheduledRebalancing
from workflows.portfolio.stopping import AccountStop
from workflows.portfolio.workflow import Portfolio
from workflows.slots import CACHED_TASK_WAITS_MAX, CACHED_TRADES_MAX, READ_POLLS_SHARE, TASK_POLLS_MAX, tuner
from workflows.steady import SteadyRunner
from workflows.trade import Trade

SEARCH_ATTRIBUTES = {
    "Coin": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Phase": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Mode": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Unit": IndexedValueType.INDEXED_VALUE_TYPE_INT,
    "Cycle": IndexedValueType.INDEXED_VALUE_TYPE_INT,
}
ANNOUNCED_WITHIN_S = 3.0

log = logging.getLogger("hypertrader.worker")


async def register_search_attributes(client: Client) -> None:
    """Make the server know the attributes trades are listed by; those it knows already are left."""
    known = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=SEARCH_ATTRIBUTES)
    try:
        await client.operator_service.add_search_attributes(known)
    except RPCError as error:
        if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
            log.warning("search attributes %s have to be registered by hand: %s", ", ".join(SEARCH_ATTRIBUTES), error)
        elif error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


def trades_worker(client: Client, trading: TradingActivities, recording: RecordingActivities) -> Worker:
    """Where trades begin, and where portfolios run."""
    return _worker(client, TRADES_QUEUE, [*_reads(trading), trading.watching.identify_account, recording.record])


def orders_worker(
    client: Client,
    trading: TradingActivities,
    recording: RecordingActivities,
    signer: str,
    stopping: StoppingActivities | None = None,
) -> Worker:
    """Where open trades run, and send and fence their orders: only where the signer's key is. An emergency stop may be
    another's: any key of the account closes what is left."""
    signing: list[Callable[..., Any]] = [trading.execute_order, trading.cancel_order, trading.set_leverage]
    saving = trading.saving
    spot: list[Callable[..., Any]] = [
        saving.inspect_spot,
        saving.prepare_transfer,
        saving.make_transfer,
        saving.read_ledger,
    ]
    watching, stopping = trading.watching, stopping or trading.stopping(client)
    whole: list[Callable[..., Any]] = [
        watching.account_value,
        watching.watch_account,
        watching.may_sign,
        stopping.survey_trades,
        stopping.stop_trades,
        stopping.left_over,
        stopping.flatten,
    ]
    return _worker(client, orders_queue(signer), [*signing, *spot, *whole, *_reads(trading), recording.record])


def _reads(trading: TradingActivities) -> list[Callable[..., Any]]:
    looking = [trading.looking.look, trading.looking.cancel_resting]
    notice = trading.telling.notify
    return [trading.inspect_market, trading.current_price, trading.read_position, trading.draw_nonce, *looking, notice]


def workflow_runner() -> SteadyRunner:
    """The sandbox in which clocks, files and randomness fail; models come from outside it."""
    return SteadyRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules("pydantic", "opentelemetry"))


def _worker(client: Client, queue: str, activities: Sequence[Callable[..., Any]]) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        workflows=[Trade, Portfolio, ScheduledRebalancing, AccountStop],
        activities=activities,
        workflow_runner=workflow_runner(),
        # The SDK would read all code there is for it, which takes half a second.
        build_id=f"hypertrader-{version('hypertrader')}",
        interceptors=[SafeHandlers()],
        max_cached_workflows=CACHED_TRADES_MAX,
        tuner=tuner(),
        max_concurrent_workflow_task_polls=TASK_POLLS_MAX,
        nonsticky_to_sticky_poll_ratio=READ_POLLS_SHARE,
        sticky_queue_schedule_to_start_timeout=CACHED_TASK_WAITS_MAX,
        # An order on its way is given the time to become definite.
        graceful_shutdown_timeout=timedelta(seconds=15),
    )


async def _connected(settings: Settings) -> Client:
    said = False
    while True:
        try:
            return await connect(settings)
        except TemporalUnreachable as error:
            if not said:
                log.warning("%s; waiting for it", error)
                said = True
            await asyncio.sleep(0.5)


async def _check_account(gateway: HyperliquidGateway) -> None:
    """Raises Rejected for an account in a mode that is not supported. An exchange that does not answer is no reason not
    to start: the mode is checked again before each trade opens."""
    try:
        await gateway.check_account_mode()
    except (NotSent, Unknown) as error:
        log.warning("the account's mode could not be checked now: %s", error)


async def connected_gateways(settings: Settings, stack: AsyncExitStack) -> list[HyperliquidGateway]:
    """One for each key, all for one account and within one budget. What a former key may still do shows as it is asked:
    it may have been revoked."""
    keys = load_keys(settings)
    governor = Governor.of(endpoint(settings), settings.worker_weight)
    await stack.enter_async_context(running(metrics.tell_budget(governor)))
    of_account = settings.model_copy(update={"account": settings.account or keys[0].address})
    gateways = [HyperliquidGateway.connect(of_account, key=key, governor=governor) for key in keys]
    for gateway in gateways:
        stack.push_async_callback(gateway.close)
    await _check_account(gateways[0])
    return gateways


async def serve(
    client: Client,
    gateways: Sequence[HyperliquidGateway],
    recording: RecordingActivities,
    settings: Settings,
    stack: AsyncExitStack,
) -> None:
    """The queues of all keys, and where trades begin. What former keys signed is signed by the first from now on."""
    signer, *former = [gateway.signer for gateway in gateways]
    trading = {gateway.signer: TradingActivities(gateway, settings) for gateway in gateways}
    await stack.enter_async_context(running(trading[signer].telling.tell_what_waits_forever()))
    presences = [Presence(client, settings.state_dir, each) for each in trading]
    for presence in presences:
        await stack.enter_async_context(running(presence.run()))
    former_keys = FormerKeys(client, gateways[0].account, signer, former)
    await stack.enter_async_context(running(former_keys.run()))
    # A price may wait for a trade whose position a hand has changed: the word that makes it look goes first. So does
    # the one that makes it sign by the new key, for the former may be no good any more.
    words = [*(presence.announced(ANNOUNCED_WITHIN_S) for presence in presences), former_keys.told(ANNOUNCED_WITHIN_S)]
    await asyncio.gather(*words)
    stopping = trading[signer].stopping(client, former)
    for each, activities in trading.items():
        await stack.enter_async_context(orders_worker(client, activities, recording, each, stopping))
    await stack.enter_async_context(trades_worker(client, trading[signer], recording))
    log.info(
        "worker ready: network %s, account %s, signer %s, queues %s",
        settings.network,
        gateways[0].account,
        signer,
        ", ".join([TRADES_QUEUE, *map(orders_queue, trading)]),
    )


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what is in hand."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.callback(tracing.configure("worker", settings))
        stack.callback(metrics.configure("worker"))
        # What can't work is found out now, not at the first notice or after asking the exchange.
        notify_url()
        data_converter(settings)
        gateways = await connected_gateways(settings, stack)
        journal = Journal(settings.journal)
        await journal.open()
        stack.push_async_callback(journal.close)
        client = await _connected(settings)
        await register_search_attributes(client)
        await serve(client, gateways, RecordingActivities(journal), settings, stack)
        await stop.wait()


def main() -> None:
    settings = Settings.from_env()
    logs.setup(settings.log_level)
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
