"""Figures of a process, for whoever collects them by OTLP. Off unless an endpoint is set, as `telemetry.tracing` is."""

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

from opentelemetry import metrics

OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TOLD_EVERY_S = 5.0
LAST_WORDS_MS = 2_000


class RateBudget(Protocol):
    """What is read of `exchange.governor.Governor`."""

    def left(self) -> int | None: ...

    @property
    def waiting(self) -> int: ...


def configure(service: str) -> Callable[[], None]:
    """Export this process's figures if the environment asks for it; call what comes back before the process ends. A
    process sets its provider once: a second configuration in it changes nothing."""
    if not any(os.environ.get(name) for name in OTLP_ENDPOINTS):
        return lambda: None
    # They take 0.1 s to import, for those only who use them.
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource

    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    provider = MeterProvider([reader], Resource.create({SERVICE_NAME: service}), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return lambda: provider.shutdown(timeout_millis=LAST_WORDS_MS)


async def tell_budget(budget: RateBudget, every_s: float = TOLD_EVERY_S) -> None:
    """Say how much of a process's rate budget is left, until cancelled; nothing where there is none.

    From the loop the budget lives on: it is not one that an exporter's thread could ask.
    """
    meter = metrics.get_meter("hypertrader")
    left = meter.create_gauge("hypertrader.exchange.weight_left", "{weight}", "Weight of requests that may leave now")
    waiting = meter.create_gauge("hypertrader.exchange.requests_waiting", "{request}", "Requests that wait for room")
    while (weight := budget.left()) is not None:
        left.set(weight)
        waiting.set(budget.waiting)
        await asyncio.sleep(every_s)
