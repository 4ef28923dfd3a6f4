"""What is wrong with an answer: everything that a client or an operator must never see, whatever was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.bench.fuzzing.cases import Case
from tests.bench.fuzzing.wire import Answer

PROBLEM, NDJSON = "application/problem+json", "application/x-ndjson"
NO_INSIGHT = b"no insight is named"
_BROKEN_HTTP = "text/plain"
"""What the server itself says to bytes that are no HTTP."""


def faults_of(case: Case, answer: Answer) -> list[str]:
    """What is wrong; nothing where all is well.

    Args:
        case: What was asked.
        answer: What came.
    """
    if answer.why == "hung":
        return [f"no answer within {answer.seconds:.1f} s"]
    if answer.why:
        return ["the connection was closed without an answer"] if case.has_answer else []
    if is_without_insight(answer):
        return []
    if answer.status >= 500:
        return [f"status {answer.status}"]
    if case.method == b"HEAD":
        return []
    return list(_content_faults(case, answer))


def is_without_insight(answer: Answer) -> bool:
    """Whether it is the documented 503 of a route whose service is not there."""
    return answer.status == 503 and NO_INSIGHT in answer.body


def _content_faults(case: Case, answer: Answer) -> Iterator[str]:
    if answer.status >= 400:
        if answer.content_type == _BROKEN_HTTP and answer.status == 400 and not case.has_answer:
            return
        yield from refusal_faults(answer)
    elif answer.content_type == "application/json":
        if _json(answer.body) is None:
            yield f"status {answer.status} whose body is no JSON"
    elif answer.content_type == NDJSON and any(_json(line) is None for line in answer.body.splitlines()):
        yield f"status {answer.status} with a line that is no JSON"


def refusal_faults(answer: Answer) -> Iterator[str]:
    """A refusal says what it is about: the field where there is one, the reason always."""
    document = _json(answer.body)
    if not isinstance(document, dict) or not document.get("detail"):
        yield f"status {answer.status} as {answer.content_type} without a problem document: {answer.body[:80]!r}"
        return
    if answer.content_type != PROBLEM and not document.get("error"):
        yield f"status {answer.status} as {answer.content_type}"
    if document.get("status") != answer.status:
        yield f"status {answer.status} whose document says {document.get('status')}"
    if answer.status == 422:
        named = [one for one in document.get("errors", ()) if one.get("field") is not None and one.get("allowed")]
        if not named:
            yield "status 422 that names no field"
    if len(answer.body) > 500_000:
        yield f"a refusal of {len(answer.body):,} bytes"


def _json(text: bytes) -> Any:
    """The value; None where it is none, or holds a number that JSON does not have."""
    try:
        return json.loads(text.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
