"""What `POST /v1/retention-email` is asked behind scoring, which keeps the customer's id to itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from bentos.errors import InvalidRequest, Problem, shown
from service import ids
from service.insight.bodies import FIELDS, ExplainRequest, explain_problems, explain_request
from service.routes.bodies import load
from service.routes.drafting import TONES, Tone

_FIELDS = (*FIELDS, "tone", "language", "prediction_id")
_MOST_PROBLEMS = 100


class EmailRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Attributes:
        explain: The row, and whose word about it counts.
        tone: How the e-mail is to sound.
        language: Two-letter code.
        prediction_id: Because of which prediction; None where none is named.
    """

    explain: ExplainRequest
    tone: Tone = "friendly"
    language: str
    prediction_id: str | None = None


def read_email(body: bytes, languages: Collection[str]) -> EmailRequest:
    """Read a request.

    Args:
        body: JSON.
        languages: In which drafts can be written; the first where none is named.

    Raises:
        HttpRefusal: The body is no JSON.
        InvalidRequest: With every problem of its fields.
    """
    told = load(body)
    if not isinstance(told, dict):
        raise InvalidRequest("body", [Problem("body", shown(told), 'an object with "features"')])
    problems = list(_problems(told, languages))[:_MOST_PROBLEMS]
    if problems:
        raise InvalidRequest("body", problems)
    own_id = told.get("prediction_id")
    return EmailRequest(
        explain=explain_request(told),
        tone=told.get("tone", "friendly"),
        language=told.get("language", next(iter(languages))),
        prediction_id=None if own_id is None else ids.normalized(own_id),
    )


def _problems(told: Mapping[str, Any], languages: Collection[str]) -> Iterator[Problem]:
    yield from explain_problems(told, _FIELDS)
    for field, allowed in (("tone", TONES), ("language", languages)):
        if field in told and told[field] not in tuple(allowed):
            yield Problem(field, shown(told[field]), "one of " + ", ".join(map(repr, allowed)))
    own_id = told.get("prediction_id")
    if own_id is not None and (not isinstance(own_id, str) or ids.normalized(own_id) is None):
        yield Problem("prediction_id", shown(own_id), ids.ALLOWED)
