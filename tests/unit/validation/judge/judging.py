"""Pieces to judge with: a small world of spools, a store and an experiment file, in which time is what a test says."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bentos.folder import Folder
from service.micros import to_micros
from service.prediction_log.records import Outcome, Prediction, Record, Treatment
from service.prediction_log.shipper import ship
from service.prediction_log.spool import Spool
from service.scoring.experiment import Experiment, write_experiment
from service.store import Store, open_store
from validation.judge.ledger import Cohort, Counts
from validation.judge.policy import OnlinePolicy

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
CHAMPION = "sha256:" + "a" * 64
CHALLENGER = "sha256:" + "b" * 64
EXPERIMENT = Experiment(
    revision=2,
    effective_from=START - DAY,
    mode="shadow",
    champion=CHAMPION,
    challenger=CHALLENGER,
    split=0.0,
    salt="salt",
)

POLICY_TEXT = """
schema_version: 1
name: test
metric: accuracy
claim: non_inferiority
margin: 0.02
alpha_promote: 0.05
alpha_rollback: 0.05
maturity_window: 30d
cohort: 1d
min_cohorts: 1
min_matured: 10
actions_follow_predictions: false
"""


def policy(**changes) -> OnlinePolicy:
    fields = {
        "name": "test",
        "metric": "accuracy",
        "false_positive_cost": None,
        "claim": "non_inferiority",
        "margin": 0.02,
        "alpha_promote": 0.05,
        "alpha_rollback": 0.05,
        "alpha_srm": 0.001,
        "maturity_window": 30 * 86_400_000_000,
        "cohort": 86_400_000_000,
        "min_cohorts": 1,
        "min_matured": 10,
        "actions_follow_predictions": False,
    }
    return OnlinePolicy(**{**fields, **changes})


def superiority(**changes) -> OnlinePolicy:
    return policy(**{"claim": "superiority", "margin": 0.0, **changes})


def counts(wins=0, ties=0, losses=0, **others) -> Counts:
    """Counts that add up; wins and losses are of positives unless said otherwise."""
    named = {"wins_positive": wins, "losses_positive": losses, "ties": ties, **others}
    scored = sum(
        value
        for key, value in named.items()
        if key not in ("unscored", "ties_right", "answered_challenger", "answered_champion")
    )
    answered = {"answered_champion": scored - named.get("answered_challenger", 0)}
    return Counts(**{**answered, **named, "n": scored + named.get("unscored", 0)})


def cohort(rules: OnlinePolicy, of: Counts, *, day=0, revision=2, mode="shadow", split=0.0) -> Cohort:
    start = to_micros(START) + day * rules.cohort
    return Cohort(
        experiment=EXPERIMENT.id,
        start=start,
        end=start + rules.cohort,
        revision=revision,
        mode=mode,
        split=split,
        policy=rules.digest,
        counts=of,
        rows_digest="sha256:rows",
    )


def prediction(customer: str | None, at: datetime = START, **changes) -> Prediction:
    """A shadow prediction on which the models agree unless a test says otherwise; its id follows from its content."""
    fields = {
        "at": to_micros(at),
        "customer_id": customer,
        "purpose": "live",
        "experiment": EXPERIMENT.id,
        "revision": 2,
        "mode": "shadow",
        "split": 0.0,
        "variant": "champion",
        "champion": CHAMPION,
        "challenger": CHALLENGER,
        "champion_probability": 0.2,
        "challenger_probability": 0.2,
        "champion_positive": False,
        "challenger_positive": False,
        "features": {},
    } | changes
    name = repr(sorted((key, value) for key, value in fields.items() if key != "features"))
    fields.setdefault("prediction_id", str(uuid.uuid5(uuid.NAMESPACE_OID, name)))
    return Prediction(**fields)


def truth(of: Prediction, positive: bool, *, after: timedelta = 30 * DAY, received: timedelta | None = None) -> Outcome:
    received = after if received is None else received
    return Outcome(
        prediction_id=of.prediction_id,
        positive=positive,
        observed_at=of.at + after // timedelta(microseconds=1),
        received_at=of.at + received // timedelta(microseconds=1),
    )


def treatment(of: Prediction, *, after: timedelta = DAY, action: str = "call") -> Treatment:
    taken = of.at + after // timedelta(microseconds=1)
    return Treatment(prediction_id=of.prediction_id, action=action, taken_at=taken, received_at=taken)


@dataclass
class World:
    """An installation: records go through a real spool and shipper into a real store."""

    path: Path
    spools: dict[str, Spool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = Folder(self.path)
        self.store: Store = open_store(self.folder.store_url)
        self.policy_path = self.path / "policy.yaml"
        self.policy_path.write_text(POLICY_TEXT)
        write_experiment(self.folder.experiment, EXPERIMENT)

    def log(self, *records: Record, worker: str = "w") -> None:
        if worker not in self.spools:
            self.spools[worker] = Spool(self.folder.spool, worker)
        for record in records:
            self.spools[worker].append(record)

    def ship(self, now: datetime) -> None:
        ship(self.folder.spool, self.store, now=now)

    def close(self) -> None:
        for spool in self.spools.values():
            spool.close()
        self.store.close()
