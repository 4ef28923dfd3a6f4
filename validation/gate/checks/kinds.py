"""Every kind of rule that a policy may hold."""

from __future__ import annotations

from validation.gate.checks.accuracy_gap import AccuracyGap
from validation.gate.checks.data import ContradictingRows, Schema
from validation.gate.checks.direction import Direction
from validation.gate.checks.drift import DriftFromChampion, DriftFromTraining
from validation.gate.checks.fairness import Fairness
from validation.gate.checks.importance import Importance
from validation.gate.checks.leakage import Leakage
from validation.gate.checks.mcnemar import McNemar
from validation.gate.checks.non_inferiority import NonInferiority
from validation.gate.checks.operational import ArtifactSize, EdgeRows, Latency, OnnxParity
from validation.gate.checks.performance import Performance
from validation.gate.checks.robustness import Flips, Missing, Noise, Shift, Unseen
from validation.gate.checks.rule import Rule
from validation.gate.checks.slices import Slices, SlicesAgainstChampion
from validation.gate.checks.stability import Stability

_FAMILIES: dict[str, tuple[type[Rule], ...]] = {
    "performance": (Performance,),
    "slices": (Slices, SlicesAgainstChampion),
    "fairness": (Fairness, AccuracyGap),
    "robustness": (Noise, Flips, Missing, Unseen, Shift),
    "against the champion": (NonInferiority, McNemar, Stability),
    "explanation": (Importance, Direction),
    "data": (Schema, DriftFromChampion, DriftFromTraining, Leakage, ContradictingRows),
    "operation": (OnnxParity, Latency, ArtifactSize, EdgeRows),
}

KINDS: dict[str, type[Rule]] = {str(kind.__struct_config__.tag): kind for kinds in _FAMILIES.values() for kind in kinds}
"""By the name under which a policy writes it."""

FAMILY_OF: dict[str, str] = {
    str(kind.__struct_config__.tag): family for family, kinds in _FAMILIES.items() for kind in kinds
}
"""What each kind is about, for reports."""
