"""Errors as HTTP says them: RFC 9457 problem documents, one row of the table for every class of the error tree."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bentos import errors
from bentos.errors import GauntletError, Problem, WithProblems

CONTENT_TYPE = b"application/problem+json"
LISTED = 100
"""How many problems one answer lists; `detail` says how many there are."""


@dataclass(frozen=True)
class Kind:
    """How one class of errors is answered.

    Attributes:
        status: HTTP status.
        slug: Last part of the problem's `type`.
        title: The same for every occurrence.
    """

    status: int
    slug: str
    title: str


KINDS: dict[type[GauntletError], Kind] = {
    errors.GauntletError: Kind(500, "internal", "Something failed inside"),
    errors.BadInput: Kind(422, "bad-input", "Something that is not allowed"),
    errors.WithProblems: Kind(422, "bad-input", "Something that is not allowed"),
    errors.InvalidContract: Kind(422, "invalid-contract", "A contract that contradicts itself"),
    errors.InvalidData: Kind(422, "invalid-data", "Data that the use case does not allow"),
    errors.InvalidFeatures: Kind(422, "invalid-features", "Features that the contract does not allow"),
    errors.InvalidRequest: Kind(422, "invalid-request", "Fields or values that this route does not allow"),
    errors.InvalidPolicy: Kind(422, "invalid-policy", "A policy that cannot be judged by"),
    errors.InvalidExperiment: Kind(422, "invalid-experiment", "An experiment that cannot be served by"),
    errors.InvalidSetting: Kind(500, "invalid-setting", "The service is set up wrongly"),
    errors.NotFound: Kind(404, "not-found", "It is not here"),
    errors.Refused: Kind(409, "refused", "It is there, and must not be used"),
    errors.InUse: Kind(409, "in-use", "Somebody else works on it now"),
    errors.ArtifactDamaged: Kind(500, "artifact-damaged", "A model is not what was packed"),
    errors.NotBlessed: Kind(409, "not-blessed", "A model without a blessing that holds"),
    errors.NotConvertible: Kind(409, "not-convertible", "A model that cannot be served"),
    errors.NotExplained: Kind(500, "not-explained", "An explanation that does not add up"),
    errors.NotAllowedByVerdict: Kind(409, "not-allowed-by-verdict", "The evidence does not allow it"),
    errors.Unavailable: Kind(503, "unavailable", "Something that is needed does not answer"),
}


class HttpRefusal(Exception):
    """A request that no handler gets to see.

    Attributes:
        kind: How it is answered.
        headers: That the answer carries beside the usual.
    """

    def __init__(self, kind: Kind, detail: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.kind = kind
        self.headers = headers


UNAUTHORIZED = Kind(401, "unauthorized", "An API key is needed")
FORBIDDEN = Kind(403, "forbidden", "The API key may not ask this")
TOO_SLOW = Kind(408, "too-slow", "The body did not arrive in time")
TOO_MANY = Kind(429, "rate-limited", "Too many requests of one client")
BUSY = Kind(429, "busy", "Too many requests at once")
MALFORMED = Kind(400, "malformed-json", "The body is no JSON")
UNKNOWN_ROUTE = Kind(404, "unknown-route", "There is no such route")
WRONG_METHOD = Kind(405, "wrong-method", "The route has no such method")
TOO_LARGE = Kind(413, "body-too-large", "The body is too large")
WRONG_TYPE = Kind(415, "wrong-content-type", "The body is declared as something else than the route reads")
INTERNAL = KINDS[errors.GauntletError]


class _Document(msgspec.Struct, kw_only=True, omit_defaults=True):
    type: str
    title: str
    status: int
    detail: str
    errors: list[_Entry] = msgspec.field(default_factory=list)


class _Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    field: str
    value: str
    allowed: str
    row: int | None = None


def kind_of(error: GauntletError) -> Kind:
    """How an error is answered: as its own class, which a test holds to be in the table."""
    return KINDS[type(error)]


def describe(kind: Kind, detail: str, problems: tuple[Problem, ...] = ()) -> bytes:
    """A problem document (RFC 9457), with an `errors` member that lists each field, its value and what is allowed."""
    entries = [
        _Entry(field=_printable(p.field), value=_printable(p.value), allowed=p.allowed, row=p.row)
        for p in problems[:LISTED]
    ]
    return msgspec.json.encode(
        _Document(
            type=f"urn:gauntlet:problem:{kind.slug}",
            title=kind.title,
            status=kind.status,
            detail=_printable(detail),
            errors=entries,
        )
    )


def describe_error(error: GauntletError) -> bytes:
    """The problem document of an error of the tree."""
    if not isinstance(error, WithProblems):
        return describe(kind_of(error), str(error))
    first = "; ".join(str(problem) for problem in error.problems[:3])
    more = f"; and {len(error.problems) - 3} more" if len(error.problems) > 3 else ""
    return describe(kind_of(error), f"{error.what}: {first}{more}", error.problems)


def _printable(text: str) -> str:
    """The text with halves of surrogate pairs, which a JSON body may spell and UTF-8 cannot, written out."""
    return text.encode("utf-8", "backslashreplace").decode()
