"""OpenTelemetry traces of requests, where a collector is named; nothing is imported and nothing is spent otherwise.

A span is made when its request is answered, with the times that were measured anyway, so that the way of a request
knows nothing of tracing. Spans leave in batches from a thread of their own; a dead collector costs spans, no requests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_EXPORT_SECONDS = 5.0


class Tracing:
    """Spans of one process on their way to a collector."""

    def __init__(self, endpoint: str, *, version: str) -> None:
        """Begin to export.

        Args:
            endpoint: Of the collector, OTLP over HTTP, such as http://collector:4318.
            version: Of Gauntlet.
        """
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({"service.name": "gauntlet-scoring", "service.version": version})
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
        # The variable keeps BentoML's own spans away, which nobody asked for; it must not keep these away.
        disabled = os.environ.pop("OTEL_SDK_DISABLED", None)
        self._provider: TracerProvider = TracerProvider(resource=resource)
        if disabled is not None:
            os.environ["OTEL_SDK_DISABLED"] = disabled
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("gauntlet", version)
        self._propagator = TraceContextTextMapPropagator()

    def trace(self, headers: Mapping[bytes, bytes], method: str, route: str, status: int, seconds: float) -> None:
        """Make the span of a request that was answered just now.

        Args:
            headers: Of the request; a `traceparent` makes the span part of the caller's trace.
            method: HTTP method.
            route: Path of the route, or what stands for none.
            status: HTTP status.
            seconds: From the request's head to the answer's end.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode

        ended = time.time_ns()
        carried = {name: headers[name.encode()].decode("latin-1") for name in _CARRIED if name.encode() in headers}
        span = self._tracer.start_span(
            f"{method} {route}",
            context=self._propagator.extract(carried),
            kind=SpanKind.SERVER,
            start_time=ended - int(seconds * 1e9),
            attributes={"http.request.method": method, "http.route": route, "http.response.status_code": status},
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    def close(self) -> None:
        """Send what waits, for some seconds at most."""
        self._provider.shutdown()


_CARRIED = ("traceparent", "tracestate")
