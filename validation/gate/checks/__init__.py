"""The checks: small objects, each of which measures one thing on the evidence and holds it against its rule.

One file a kind: its rule as a policy writes it, what may be written, and the check that judges it. `rule` has what all
kinds share, `kinds` lists them, `running` runs them.
"""

from __future__ import annotations

from validation.gate.checks.kinds import KINDS
from validation.gate.checks.rule import Check, Rule
from validation.gate.checks.running import run_check, run_checks

__all__ = ["KINDS", "Check", "Rule", "run_check", "run_checks"]
