"""Every kind of rule that a policy may hold."""

from __future__ import annotations

from validation.gate.checks.accuracy_gap import AccuracyGap
from validation.gate.checks.mcnemar import McNemar
from validation.gate.checks.noise import Noise
from validation.gate.checks.performance import Performance
from validation.gate.checks.rule import Rule

KINDS: dict[str, type[Rule]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Performance,
        AccuracyGap,
        Noise,
        McNemar,
    )
}
"""By the name under which a policy writes it."""
