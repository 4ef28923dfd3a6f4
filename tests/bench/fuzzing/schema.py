"""schemathesis against the real server: requests made from its own OpenAPI document, right and wrong ones, every
operation; and every answer held against the same document.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.bench.fuzzing.judging import NO_INSIGHT, refusal_faults
from tests.bench.fuzzing.wire import Answer

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ADVICE = [positive_data_acceptance, negative_data_rejection]
"""What they find is no fault by itself: a document cannot say everything that a route asks for."""

_FAILED_SHOWN = 5


@dataclass
class Conformance:
    """What a run found.

    Attributes:
        statuses: By operation and status; `503*` where no insight was named.
        faults: By operation and what is wrong: how often, and the first requests as curl commands.
        advice: The same, for what is no fault by itself.
    """

    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    advice: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        """How many requests were sent."""
        return sum(self.statuses.values())


def run_schema(
    url: str, *, cases: int, seed: int, key: str | None = None, limit_seconds: float = 20.0, operations: str = ""
) -> Conformance:
    """Ask every operation, half with data that the document allows and half with data that it does not.

    Args:
        url: Of the server.
        cases: At least so many, evenly over the operations.
        seed: Of the data.
        key: An API key, where keys are asked for.
        limit_seconds: Within which every request must be answered.
        operations: Only those whose path holds this text.
    """
    document = requests.get(f"{url}/openapi.json", timeout=limit_seconds).json()
    found, session = Conformance(), requests.Session()
    if key is not None:
        session.headers["authorization"] = f"Bearer {key}"
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    asked = [one.ok() for one in schema.get_all_operations() if operations in one.ok().path]
    rich = [one for one in asked if one.body]
    for operation in asked:
        share = cases // (2 * len(rich)) + 1 if operation.body else 10
        for mode in GenerationMode:
            _ask(operation, mode, found, session, share, seed, limit_seconds)
    return found


def _ask(
    operation: Any,
    mode: GenerationMode,
    found: Conformance,
    session: requests.Session,
    cases: int,
    seed: int,
    limit_seconds: float,
) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        derandomize=False,
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        _judge(case, case.call(session=session, timeout=limit_seconds), found)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operations that offer little to generate from
        try:
            ask()
        except hypothesis.errors.Unsatisfiable:
            found.statuses[(operation.label, f"no {mode.value} data")] += 0


def _judge(case: Case, response: Response, found: Conformance) -> None:
    label = case.operation.label
    is_documented = response.status_code == 503 and NO_INSIGHT in response.content
    found.statuses[(label, "503*" if is_documented else str(response.status_code))] += 1
    checks = CHECKS[1:] if is_documented else CHECKS
    faults = [*_failed(case, response, checks), *_unnamed(response)]
    for fault in faults:
        _keep(found.faults, (label, fault), case, response)
    for fault in _failed(case, response, ADVICE) if not faults and not is_documented else ():
        if "Invalid component: parameter" not in fault:  # headers that only follow a request are free text
            _keep(found.advice, (label, fault.partition(" Expected")[0]), case, response)


def _failed(case: Case, response: Response, checks: list[Any]) -> Iterator[str]:
    try:
        case.validate_response(response, checks=checks)
    except FailureGroup as group:
        for failure in group.exceptions:
            yield _said(failure)


def _said(failure: Failure) -> str:
    return f"{failure.title}: {' '.join(failure.message.split())[:160]}"


def _unnamed(response: Response) -> Iterator[str]:
    if response.status_code < 400:
        return
    kind = response.headers.get("content-type", [""])[0].split(";", 1)[0].strip().lower()
    yield from refusal_faults(Answer(response.status_code, kind, response.content))


def _keep(into: dict[tuple[str, str], list[str]], key: tuple[str, str], case: Case, response: Response) -> None:
    seen = into.setdefault(key, [])
    if len(seen) < _FAILED_SHOWN:
        seen.append(f"{case.as_curl_command()[:1500]} → {json.dumps(response.content[:300].decode('latin-1'))}")
    else:
        seen.append("")
