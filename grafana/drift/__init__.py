"""Rules of drift: recordings and alerts from the counters that every pod exports, by formulas that the store's share.

The same formulas stand in `validation/statistics/drift.py`, with their sources; a test holds the numbers of a real
Prometheus against theirs.
"""

from __future__ import annotations

from grafana.drift.alerts import alerts_of
from grafana.drift.recordings import recordings_of, reference_recordings
from grafana.drift.settings import DEFAULT, DriftSettings
from grafana.rule_files import Alert, Group, Recording, rule_file

__all__ = ["DEFAULT", "DriftSettings", "drift_groups", "rules_text"]


def rules_text(settings: DriftSettings = DEFAULT) -> str:
    """The text of `rules/drift.yaml`."""
    return rule_file(drift_groups(settings))


def drift_groups(settings: DriftSettings) -> list[Group]:
    """One group, so that a longer window reads what the base recorded at the same moment, and never what it will."""
    rules: list[Recording | Alert] = list(reference_recordings(settings))
    for window in settings.windows:
        rules += [*recordings_of(window, settings), *alerts_of(window, settings)]
    return [Group("gauntlet-drift", settings.interval, rules)]
