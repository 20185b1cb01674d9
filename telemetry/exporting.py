"""Where spans go: the OpenTelemetry SDK's side of `telemetry.tracing`."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

FLUSH_INTERVAL_MS = 500
_SCOPE = InstrumentationScope("hypertrader")


class Exporting:
    """The exporters of one `configure`. OpenTelemetry lets a process set its provider once; the exporters behind it
    are ours to change, so a process can end one configuration and begin another."""

    def __init__(self, service: str, trace_file: Path | None, *, to_endpoint: bool) -> None:
        self._resource = Resource.create({SERVICE_NAME: service})
        exporters: list[SpanExporter] = []
        if trace_file is not None:
            exporters.append(FileSpanExporter(trace_file, service))
        if to_endpoint:
            # Takes 0.1 s to import, for those only who use it.
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporters.append(OTLPSpanExporter())
        self._processors = [BatchSpanProcessor(it, schedule_delay_millis=FLUSH_INTERVAL_MS) for it in exporters]
        _outlet.open_to(self, self._resource)

    def finish(self, span: ReadableSpan) -> None:
        for processor in self._processors:
            processor.on_end(span)

    def finished(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, str | bool | int | float],
    ) -> ReadableSpan:
        """A span that was never live, as the SDK's exporters take it."""
        return ReadableSpan(
            name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            instrumentation_scope=_SCOPE,
            start_time=start_ns,
            end_time=end_ns,
        )

    def flush(self, timeout_ms: int) -> bool:
        return all(processor.force_flush(timeout_ms) for processor in self._processors)

    def shutdown(self) -> None:
        _outlet.close_to(self)
        for processor in self._processors:
            processor.shutdown()  # type: ignore[no-untyped-call]


class _Outlet(SpanProcessor):
    """The one processor the process's provider has: hands live spans to whatever is configured now."""

    def __init__(self) -> None:
        self._exporting: Exporting | None = None
        self._provided = False

    def open_to(self, exporting: Exporting, resource: Resource) -> None:
        self._exporting = exporting
        if not self._provided:
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(self)
            trace.set_tracer_provider(provider)
            self._provided = True

    def close_to(self, exporting: Exporting) -> None:
        if self._exporting is exporting:
            self._exporting = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        pass

    def on_end(self, span: ReadableSpan) -> None:
        if self._exporting is not None:
            self._exporting.finish(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporting is None or self._exporting.flush(timeout_millis)


_outlet = _Outlet()


class FileSpanExporter(SpanExporter):
    """Appends one JSON object a line: name, trace_id, span_id, parent_span_id, start_ns, end_ns, status, attributes,
    service. A batch is one write to the file's end, so the lines of several processes do not mix."""

    def __init__(self, path: Path, service: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._service = service
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = "".join(json.dumps(self._fields(span), default=str) + "\n" for span in spans).encode()
        try:
            written = os.write(self._file, lines)
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS if written == len(lines) else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def _fields(self, span: ReadableSpan) -> dict[str, object]:
        context = span.get_span_context()
        assert context is not None, "a finished span has a context"
        return {
            "name": span.name,
            "trace_id": f"{context.trace_id:032x}",
            "span_id": f"{context.span_id:016x}",
            "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else None,
            "start_ns": span.start_time,
            "end_ns": span.end_time,
            "status": span.status.status_code.name,
            "attributes": dict(span.attributes or {}),
            "service": self._service,
        }
