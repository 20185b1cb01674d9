"""The feed process: a Temporal worker whose one activity follows prices. It never decides and never trades."""

import asyncio
import logging
import signal
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.messages import FEED_QUEUE
from connection import TemporalUnreachable, connect
from exchange.governor import Governor
from exchange.network import endpoint
from feed.endpoints import price_endpoints
from feed.following import CHECK_INTERVAL_S
from feed.stream import PriceStream
from feed.succession import take_over_from_the_dead
from feed.tasks import running
from feed.track_units import LAST_WORDS_S, FeedActivities
from feed.witness import Witness
from settings import Settings
from telemetry import metrics, tracing

TRADES_MAX = 1_000
"""Followed by one process at once."""
CONNECT_RETRY_S = 0.5
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger(__name__)


async def run(settings: Settings, *, stop: asyncio.Event | None = None) -> None:
    """Follow prices until SIGTERM, SIGINT or `stop`. Waits for Temporal and for the exchange, however long they take.
    Raises exchange.network.SetupRefused if the settings allow no exchange."""
    endpoints = price_endpoints(settings)
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    end_tracing, end_metrics = tracing.configure("feed", settings), metrics.configure("feed")
    try:
        client = await _connected(settings, stop)
        if client is None:
            return
        witness = Witness()
        async with PriceStream(
            endpoints.ws_url,
            info_url=endpoints.info_url,
            absence=witness.exchange,
            governor=Governor.of(endpoint(settings), settings.feed_weight),
        ) as stream:
            telling = running(metrics.tell_budget(stream.governor))
            async with feed_worker(client, stream, witness), running(witness.watch_temporal(client)), telling:
                await take_over_from_the_dead(client)
                _log.info("Feed ready", extra={"network": settings.network.value, "url": endpoints.ws_url})
                await stop.wait()
                _log.info("Feed stopping")
    finally:
        end_metrics()
        end_tracing()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


def feed_worker(
    client: Client, stream: PriceStream, witness: Witness, *, check_interval_s: float = CHECK_INTERVAL_S
) -> Worker:
    """Serves `track_units` on the queue `feed`, to be entered with `async with`."""
    return Worker(
        client,
        task_queue=FEED_QUEUE,
        activities=[FeedActivities(client, stream, witness, check_interval_s=check_interval_s).track_units],
        max_concurrent_activities=TRADES_MAX,
        graceful_shutdown_timeout=timedelta(seconds=LAST_WORDS_S + 1),
        # The SDK holds heartbeats back to 0.8 of their timeout, which leaves a busy machine too little of it.
        max_heartbeat_throttle_interval=timedelta(seconds=1),
    )


async def _connected(settings: Settings, stop: asyncio.Event) -> Client | None:
    """None if told to stop first."""
    said = False
    while not stop.is_set():
        try:
            return await connect(settings)
        except TemporalUnreachable as error:
            if not said:
                said = True
                _log.warning("%s; waiting for it", error)
        try:
            await asyncio.wait_for(stop.wait(), CONNECT_RETRY_S)
        except TimeoutError:
            continue
    return None
