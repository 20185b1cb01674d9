from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from exchange import transport
from exchange.asking import Patience
from exchange.execution import execute
from tests.exchange.conftest import Stage
from tests.exchange.spoiling import SPOILT, after


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # A provider of the whole process can be set only once; these spans are for this test alone.
    monkeypatch.setattr(transport, "_tracer", provider.get_tracer("hypertrader.exchange"))
    return exporter


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_each_request_is_one_client_span_within_the_callers_trace(
    stage: Stage, spans: InMemorySpanExporter
) -> None:
    intent = stage.intent()
    with TracerProvider().get_tracer("caller").start_as_current_span("activity") as parent:
        await stage.gateway.execute(intent)
    order, fills = spans.get_finished_spans()
    assert [order.name, fills.name] == ["POST /exchange order", "POST /info userFillsByTime"]
    for span in (order, fills):
        assert span.kind is SpanKind.CLIENT and span.parent is not None
        assert span.parent.span_id == parent.get_span_context().span_id
    attributes = attributes_of(order)
    assert attributes["hypertrader.cloid"] == intent.cloid
    assert attributes["hypertrader.nonce"] == intent.nonce
    (body,) = stage.sent("order")
    assert body["signature"]["r"][2:] not in repr((attributes, order.events, order.status.description))


async def test_failed_request_says_what_is_known_after_it(stage: Stage, spans: InMemorySpanExporter) -> None:
    stage.proxy.spoil("order", after(SPOILT["502 html"]))
    await execute(stage.gateway, stage.intent(), patience=Patience(pause_s=0.005))
    order, noop, *_ = spans.get_finished_spans()
    assert (order.status.status_code, attributes_of(order)["error.type"]) == (StatusCode.ERROR, "Unknown")
    # The refusal of the noop is an answer, and the request for it went well.
    assert (noop.name, noop.status.status_code) == ("POST /exchange noop", StatusCode.UNSET)
