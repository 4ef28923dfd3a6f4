"""Running what a policy asks for.

A check that raises, or whose number is undefined, is ERROR with the reason: what cannot be computed is never a pass.
Each check draws from a generator of its own, seeded by the policy's seed and the check's name, so that adding or
reordering rules changes no other check's numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec
import numpy as np

from bentos.errors import GauntletError
from validation.gate.checks.rule import Check, Rule
from validation.gate.evidence import Evidence
from validation.gate.report import CheckResult, Status


def run_checks(
    rules: Sequence[Rule], evidence: Evidence, *, bootstrap: bool, is_champion: bool = False
) -> tuple[CheckResult, ...]:
    """Judge everything that a policy asks for, in its order.

    Args:
        rules: The policy's.
        evidence: What is judged.
        bootstrap: Whether a first model may pass: rules that compare with a champion are then left out for it.
        is_champion: Whether it is the reigning champion that is judged anew: there is nobody to compare it with.
    """
    found: list[CheckResult] = []
    for rule in rules:
        if rule.is_relative and evidence.champion is None:
            found.extend(_without_champion(check, bootstrap, is_champion) for check in rule.checks(evidence))
        else:
            found.extend(run_check(check, evidence) for check in rule.checks(evidence))
    return tuple(found)


def run_check(check: Check, evidence: Evidence) -> CheckResult:
    """Judge one thing; whatever is raised makes it an ERROR."""
    rng = np.random.default_rng([evidence.seed, zlib.crc32(check.name.encode())])
    try:
        result = check.run(evidence, rng)
    except (ValueError, GauntletError) as e:
        result = CheckResult(name=check.name, status="ERROR", reason=str(e))
    except Exception as e:  # a check of somebody else's fails closed too
        first_line = str(e).partition("\n")[0][:200]
        result = CheckResult(name=check.name, status="ERROR", reason=f"{type(e).__name__}: {first_line}")
    return msgspec.structs.replace(result, kind=check.rule.kind)


def _without_champion(check: Check, bootstrap: bool, is_champion: bool) -> CheckResult:
    status: Status = "NOT_APPLICABLE"
    if is_champion:
        reason = "not applicable: this is the champion itself"
    elif bootstrap:
        reason = "not applicable: first model, no champion to compare with"
    else:
        status = "ERROR"
        reason = "there is no champion to compare with, and the policy does not say bootstrap: true"
    return CheckResult(name=check.name, kind=check.rule.kind, status=status, reason=reason)
