"""One trace from the price at the socket to the order at the exchange.

OpenTelemetry carries a trace through calls; ours also crosses a signal, workflow state and an activity's input, as a
W3C `traceparent` string in our own messages. Workflow code imports this module, so only `configure` loads the SDK.

Off unless an OTLP endpoint or a trace file is set: then no provider exists and every span is OpenTelemetry's no-op.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")

AttributeValue = str | bool | int | float


class TraceSettings(Protocol):
    """What is read of `settings.Settings`."""

    @property
    def trace_file(self) -> "Path | None": ...


class _Exporting(Protocol):
    def finish(self, span: "ReadableSpan") -> None: ...

    def finished(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, AttributeValue],
    ) -> "ReadableSpan": ...


_exporting: _Exporting | None = None


def configure(service: str, settings: TraceSettings) -> Callable[[], None]:
    """Turn tracing on if the environment or the settings ask for it; call what comes back before the process ends.

    `OTEL_EXPORTER_OTLP_ENDPOINT` exports by OTLP over HTTP, `trace_file` appends a JSON line a span; both may be on.
    Spans leave twice a second, so a killed process loses no more than the last of them. Raises OSError if the file
    can't be opened.
    """
    endpoint = any(os.environ.get(name) for name in OTLP_ENDPOINTS)
    if settings.trace_file is None and not endpoint:
        return lambda: None
    from telemetry.exporting import Exporting

    global _exporting
    exporting = Exporting(service, settings.trace_file, to_endpoint=endpoint)
    _exporting = exporting

    def shutdown() -> None:
        global _exporting
        if _exporting is exporting:
            _exporting = None
        exporting.shutdown()

    return shutdown


def traceparent_of(span: Span) -> str | None:
    """The span as a parent for others to carry; None while tracing is off."""
    context = span.get_span_context()
    return _traceparent(context) if context.is_valid else None


def context_of(traceparent: str | None) -> Context:
    """To start a child span of `traceparent` in. Without one, or with a malformed one, the child begins a trace."""
    parent = _parse(traceparent)
    return trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()


def child_traceparent(traceparent: str, span_id: int) -> str:
    """The traceparent of a child with this number (1 to 2**64-1). A malformed one is passed on as it is: whoever
    receives it begins a new trace, and no workflow fails for its trace."""
    parent = _parse(traceparent)
    return _traceparent(_child(parent, span_id)) if parent else traceparent


def emit_span(
    name: str,
    *,
    traceparent: str,
    span_id: int,
    start_ns: int,
    end_ns: int,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> None:
    """Export a span that is over, under a number its caller chose: a workflow draws it with `workflow.random()`, so
    that every replay names the same span, and emits when it is not replaying. Does nothing while tracing is off."""
    parent = _parse(traceparent)
    if _exporting is None or parent is None:
        return
    _exporting.finish(_exporting.finished(name, _child(parent, span_id), parent, start_ns, end_ns, attributes or {}))


def _parse(traceparent: str | None) -> SpanContext | None:
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return parent if parent.is_valid else None


def _child(parent: SpanContext, span_id: int) -> SpanContext:
    return SpanContext(parent.trace_id, span_id, is_remote=False, trace_flags=parent.trace_flags)


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
