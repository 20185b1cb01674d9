import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from settings import Settings
from telemetry import tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MALFORMED = [
    "",
    "x",
    PARENT.upper(),
    PARENT[:-1],
    f"{PARENT}-00",
    PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
]

_tracer = trace.get_tracer("test")


@pytest.fixture(autouse=True)
def _no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.OTLP_ENDPOINTS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def spans_file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "spans.jsonl"


@pytest.fixture
def configured(spans_file: Path) -> Iterator[Path]:
    shutdown = tracing.configure("feed", Settings(trace_file=spans_file))
    yield spans_file
    shutdown()


def spans(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_nothing_is_loaded_or_recorded_while_tracing_is_off() -> None:
    program = (
        "import sys; from settings import Settings; from telemetry import tracing; from opentelemetry import trace;"
        "tracing.configure('feed', Settings())();"
        "span = trace.get_tracer('x').start_span('a');"
        "assert not span.is_recording() and tracing.traceparent_of(span) is None;"
        f"tracing.emit_span('b', traceparent='{PARENT}', span_id=1, start_ns=1, end_ns=2);"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.sdk')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_trace_crosses_from_live_spans_to_given_ones_and_back(spans_file: Path) -> None:
    shutdown = tracing.configure("feed", Settings(trace_file=spans_file))
    with _tracer.start_as_current_span("feed.price", attributes={"coin": "ETH"}) as price:
        parent = tracing.traceparent_of(price)
    assert parent is not None
    decision = tracing.child_traceparent(parent, 7)
    tracing.emit_span(
        "workflow.decision", traceparent=parent, span_id=7, start_ns=10, end_ns=20, attributes={"order_qty": "-0.1"}
    )
    with _tracer.start_as_current_span("activity", context=tracing.context_of(decision)):
        pass
    shutdown()
    first, second, third = spans(spans_file)
    assert [span["name"] for span in (first, second, third)] == ["feed.price", "workflow.decision", "activity"]
    assert len({span["trace_id"] for span in (first, second, third)}) == 1
    assert first["parent_span_id"] is None and second["parent_span_id"] == first["span_id"]
    assert second["span_id"] == f"{7:016x}" == third["parent_span_id"]
    assert (second["start_ns"], second["end_ns"]) == (10, 20)
    assert second["attributes"] == {"order_qty": "-0.1"} and first["attributes"] == {"coin": "ETH"}
    assert {span["service"] for span in (first, second, third)} == {"feed"}


def test_a_process_can_be_configured_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutdown = tracing.configure(name, Settings(trace_file=tmp_path / name))
        _tracer.start_span(name).end()
        shutdown()
        _tracer.start_span("nobody listens").end()
    for name in ("one", "two"):
        assert [(span["name"], span["service"]) for span in spans(tmp_path / name)] == [(name, name)]


def test_an_error_is_seen_in_its_span(configured: Path) -> None:
    with pytest.raises(LookupError), _tracer.start_as_current_span("POST /exchange order"):
        raise LookupError
    wait_for_lines(configured, 1)
    assert spans(configured)[0]["status"] == "ERROR"


@given(st.integers(1, 2**64 - 1))
def test_a_childs_traceparent_has_its_parents_trace(span_id: int) -> None:
    child = tracing.child_traceparent(PARENT, span_id)
    assert child == f"{PARENT[:35]}-{span_id:016x}-01"
    context = trace.get_current_span(tracing.context_of(child)).get_span_context()
    assert context.span_id == span_id and context.is_remote


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_traceparent_harms_nobody(text: str, configured: Path) -> None:
    assert tracing.child_traceparent(text, 5) == text
    tracing.emit_span("lost", traceparent=text, span_id=5, start_ns=1, end_ns=2)
    span = _tracer.start_span("root", context=tracing.context_of(text))
    span.end()
    wait_for_lines(configured, 1)
    assert [(found["name"], found["parent_span_id"]) for found in spans(configured)] == [("root", None)]


def wait_for_lines(path: Path, count: int, timeout_s: float = 5.0) -> float:
    """Until the file has so many lines; returns how long that took."""
    began = time.monotonic()
    while len(path.read_text().splitlines()) < count:
        assert time.monotonic() - began < timeout_s
        time.sleep(0.005)
    return time.monotonic() - began


def test_spans_leave_within_a_second(configured: Path) -> None:
    _tracer.start_span("a").end()
    assert wait_for_lines(configured, 1) < 1.0


def test_several_processes_share_a_file_line_by_line(spans_file: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from settings import Settings; from telemetry import tracing\n"
        "from opentelemetry import trace\n"
        f"stop = tracing.configure(sys.argv[1], Settings(trace_file=Path({str(spans_file)!r})))\n"
        "tracer = trace.get_tracer('x')\n"
        "for number in range(1000):\n"
        "    tracer.start_span('span', attributes={'number': number, 'filling': 'x' * 300}).end()\n"
        "stop()\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, f"service-{n}"]) for n in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    found = sorted((span["service"], span["attributes"]["number"]) for span in spans(spans_file))
    assert found == sorted((f"service-{n}", number) for n in range(3) for number in range(1000))


async def test_spans_go_to_an_otlp_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[ExportTraceServiceRequest] = []

    async def take(request: web.Request) -> web.Response:
        received.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    shutdown = tracing.configure("worker", Settings())
    try:
        tracing.emit_span("workflow.decision", traceparent=PARENT, span_id=7, start_ns=10, end_ns=20)
        _tracer.start_span("live", context=tracing.context_of(PARENT)).end()
    finally:
        await asyncio.to_thread(shutdown)
        await runner.cleanup()
    found = [
        span
        for request in received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    by_name = {span.name: span for span in found}
    assert by_name["workflow.decision"].span_id == (7).to_bytes(8, "big")
    assert {span.trace_id.hex() for span in found} == {PARENT[3:35]}
    assert {span.parent_span_id.hex() for span in found} == {PARENT[36:52]}
