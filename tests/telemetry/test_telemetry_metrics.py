import asyncio
import subprocess
import sys

import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from exchange.budget import Budget
from exchange.governor import Governor
from exchange.weights import Weight
from telemetry import metrics


def test_nothing_is_loaded_while_metrics_are_off() -> None:
    program = (
        "import sys; from telemetry import metrics; metrics.configure('feed')();"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.sdk')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={})


async def test_where_nothing_is_limited_nothing_is_told() -> None:
    await asyncio.wait_for(metrics.tell_budget(Governor(None)), 1)


async def test_what_a_process_may_still_ask_goes_to_an_otlp_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[ExportMetricsServiceRequest] = []

    async def take(request: web.Request) -> web.Response:
        received.append(ExportMetricsServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/metrics", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    shutdown = metrics.configure("worker")
    try:
        governor = Governor(Budget(300, reserved=75))
        async with governor.turn(Weight(20)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(metrics.tell_budget(governor), 0.1)
    finally:
        await asyncio.to_thread(shutdown)
        await runner.cleanup()
    found = {
        metric.name: [point.as_int for point in metric.gauge.data_points]
        for request in received
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert found["hypertrader.exchange.weight_left"] == [280]
    assert found["hypertrader.exchange.requests_waiting"] == [0]
