"""Traces: spans of answered requests reach a collector, inside the caller's trace; none where none are asked for."""

import gzip
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service.tracing import Tracing

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@contextmanager
def collector(monkeypatch):
    """Takes OTLP over HTTP, as a collector does."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")  # as the entry sets it
    spans = []

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            told = ExportTraceServiceRequest.FromString(body)
            spans.extend(s for r in told.resource_spans for scope in r.scope_spans for s in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        server.server_close()


def test_a_span_arrives_with_its_times_inside_the_callers_trace(monkeypatch):
    with collector(monkeypatch) as (url, spans):
        tracing = Tracing(url, version="1")
        headers = {b"traceparent": f"00-{TRACE}-{PARENT}-01".encode()}
        tracing.trace(headers, "POST", "/v1/score", 200, 0.25)
        tracing.trace({}, "POST", "/v1/score", 503, 0.5)
        tracing.close()
    inside, alone = spans
    assert (inside.name, inside.trace_id.hex(), inside.parent_span_id.hex()) == ("POST /v1/score", TRACE, PARENT)
    assert inside.end_time_unix_nano - inside.start_time_unix_nano == 250_000_000
    assert {a.key: a.value.int_value or a.value.string_value for a in inside.attributes} == {
        "http.request.method": "POST",
        "http.route": "/v1/score",
        "http.response.status_code": 200,
    }
    assert (alone.status.code, alone.parent_span_id) == (2, b"")


def test_a_collector_that_is_not_there_costs_spans_and_nothing_else(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")  # as the entry sets it
    tracing = Tracing("http://127.0.0.1:9", version="1")
    tracing.trace({}, "GET", "/livez", 200, 0.1)
    tracing.close()


def test_nothing_is_imported_where_no_traces_are_asked_for():
    code = "import sys, service.application; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
