"""A gate's report around any checks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from validation.gate.report import (
    EXIT_CODES,
    CheckResult,
    GateReport,
    JudgedBy,
    JudgedOn,
    Model,
    reasons_of,
    verdict_of,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANDIDATE = Model(name="toy", version="2", digest="sha256:" + "a" * 64)
CHAMPION = Model(name="toy", version="1", digest="sha256:" + "b" * 64)


def report_around(checks: Sequence[CheckResult], *, n: int = 1409, **changes: Any) -> GateReport:
    """A report whose verdict and reasons follow from its checks; nothing is blessed.

    Args:
        checks: What was found.
        n: Rows of the holdout.
        changes: Other fields than the usual ones.
    """
    verdict = verdict_of(tuple(checks))
    report = GateReport(
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        candidate=CANDIDATE,
        champion=CHAMPION,
        judged_by=JudgedBy(policy="p", policy_digest="sha256:" + "c" * 64, seed=5, code="gauntlet 0"),
        judged_on=JudgedOn(data="sha256:d", holdout="sha256:e", n=n, is_synthetic=True),
        checks=tuple(checks),
        reasons=reasons_of(tuple(checks)),
        blessing=None,
        judged_at=NOW,
        seconds=1.25,
    )
    return msgspec.structs.replace(report, **changes)
