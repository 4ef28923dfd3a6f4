"""What a client would rather have, by its Accept header (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True)
class Form:
    """One form of an answer.

    Attributes:
        kind: Its media type, without parameters.
        version: Its version, as media types have it as a parameter.
    """

    kind: str
    version: str


def asks_for(accept: bytes, form: Form, *, over: Form) -> bool:
    """Whether a header names a form, and would not rather have another; without it, or with `*/*`, it names none.

    Args:
        accept: The header, empty where there is none.
        form: Which.
        over: What is answered to everybody else.

    Examples:
        >>> new, old = Form("application/openmetrics-text", "1.0.0"), Form("text/plain", "0.0.4")
        >>> asks_for(b"application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3", new, over=old)
        True
        >>> asks_for(b"*/*", new, over=old)
        False
    """
    ranges = [_read_range(part) for part in accept.decode("latin-1").lower().split(",")]
    wanted = _quality_of(ranges, form.kind, form)
    everything = f"{over.kind.partition('/')[0]}/*", "*/*"
    others = (_quality_of(ranges, kind, over) for kind in (over.kind, *everything))
    return wanted is not None and wanted > 0 and wanted >= next((one for one in others if one is not None), 0.0)


def _quality_of(ranges: Sequence[tuple[str, str | None, float]], kind: str, form: Form) -> float | None:
    """The most that any of a header's ranges gives a form under a media type; None where none is for it."""
    found = [quality for named, version, quality in ranges if named == kind and version in (None, form.version)]
    return max(found, default=None)


def _read_range(text: str) -> tuple[str, str | None, float]:
    """Media type, version and quality; what cannot be read as a quality is none."""
    kind, *parameters = (part.strip() for part in text.split(";"))
    told = {name.strip(): value.strip().strip('"') for name, _, value in (one.partition("=") for one in parameters)}
    quality = told.get("q", "1")
    return kind, told.get("version"), float(quality) if _QUALITY.fullmatch(quality) else 0.0
