"""Whether what is asked and answered still looks like training: the same rules as `gauntlet drift`, for a span."""

from __future__ import annotations

from bentos.artifact import Reference
from service.console.production.spans import Span
from service.micros import from_micros
from validation.drift.comparing import Counted, Drift, Window
from validation.drift.comparing import compare as compare_window


def compare(reference: Reference, counted: Counted, span: Span) -> tuple[Drift, ...]:
    """Every feature and the score against the reference, the furthest beyond its limit first.

    Args:
        reference: Of the champion.
        counted: What came in the span.
        span: When.

    Returns:
        Those of which something can be said: what came is worth enough customers.
    """
    window = Window(since=from_micros(span.start), until=from_micros(span.end))
    found = compare_window(reference, counted, window, model="", digest="")
    return tuple(sorted((one for one in (*found.features, found.score) if one.psi_limit), key=lambda one: -ratio(one)))


def ratio(drift: Drift) -> float:
    """PSI over its limit; 0 where there is none."""
    return (drift.psi or 0.0) / drift.psi_limit if drift.psi_limit else 0.0


def rises(drift: Drift) -> tuple[str, ...]:
    """What came more often than size and chance allow: missing values, or those that training never saw."""
    named = (("missing", drift.missing), ("unseen", drift.unseen))
    return tuple(f"{name} {rise.ratio:.1%}" for name, rise in named if rise is not None and rise.finding == "drifted")
