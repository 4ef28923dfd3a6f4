"""Following one request through several services: the ids that its headers carry, as they are logged and passed on."""

from __future__ import annotations

from service.http.messages import Headers

REQUEST_ID_LENGTH = 128
_STATE_LENGTH = 512
"""What W3C asks everybody to pass on of a `tracestate`."""


def is_request_id(value: bytes) -> bool:
    """Whether an `X-Request-ID` may be passed on and logged: printable ASCII, not too long."""
    return 0 < len(value) <= REQUEST_ID_LENGTH and _is_printable(value)


def trace_id_of(traceparent: bytes) -> str | None:
    """The trace id of a W3C `traceparent`; None where it is none."""
    parts = traceparent.split(b"-")
    if len(parts) < 4 or len(parts[0]) != 2 or len(parts[1]) != 32 or parts[1] == b"0" * 32:
        return None
    trace_id = parts[1].decode("latin-1")
    return trace_id if all(character in "0123456789abcdef" for character in trace_id) else None


def ids_to_follow(headers: Headers) -> tuple[str | None, str | None]:
    """The `X-Request-ID` and the trace id that came with a request."""
    request_id, trace = headers.get(b"x-request-id"), headers.get(b"traceparent")
    return (
        request_id.decode() if request_id is not None and is_request_id(request_id) else None,
        trace_id_of(trace) if trace is not None else None,
    )


def logged_ids(headers: Headers) -> dict[str, str]:
    """The same as members of a line of the log, without those that did not come."""
    found = zip(("request_id", "trace_id"), ids_to_follow(headers), strict=True)
    return {name: value for name, value in found if value is not None}


def passed_on(headers: Headers) -> dict[str, str]:
    """The headers by which one request can be followed through several services."""
    found = {}
    request_id, trace = headers.get(b"x-request-id"), headers.get(b"traceparent")
    if request_id is not None and is_request_id(request_id):
        found["x-request-id"] = request_id.decode()
    if trace is not None and trace_id_of(trace) is not None and is_request_id(trace):
        found["traceparent"] = trace.decode()
        state = headers.get(b"tracestate", b"")
        if 0 < len(state) <= _STATE_LENGTH and _is_printable(state):
            found["tracestate"] = state.decode()
    return found


def _is_printable(value: bytes) -> bool:
    return value.isascii() and value.decode("ascii").isprintable()
