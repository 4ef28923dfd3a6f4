"""What the gate's command lines assume where nothing is said; importing this costs nothing."""

from __future__ import annotations

from pathlib import Path

POLICIES = Path(__file__).parent.parent / "policies"
"""Where the shipped policies lie."""

POLICY = POLICIES / "baseline.yaml"
"""The policy of a gate that names none."""

CHAMPION_ALIAS = "champion"
CHALLENGER_ALIAS = "challenger"
"""The alias that a PASS gives."""
