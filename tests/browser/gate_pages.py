"""A report with every kind of picture, for browsers."""

from __future__ import annotations

import numpy as np
from report_toys import report_around

from bentos.artifact import Binned, Contract, Encoder, Labels, Numeric, Reference, TrainingRecord
from bentos.artifact import Categorical as Choice
from validation.gate.answers import answers_of
from validation.gate.checks import KINDS, run_checks
from validation.gate.evidence import Evidence, Facts, Number, Subject
from validation.gate.page import to_html

_N = 800


def page_of_every_kind() -> bytes:
    """The page of a report whose checks are of every kind that is drawn."""
    evidence = _evidence()
    judged = {"judge_by": "interval", "on_inconclusive": "point"}
    rules = (
        KINDS["performance"](metric="accuracy", at_least=0.99, **judged),
        KINDS["performance"](metric="ece", at_most=0.2, **judged),
        KINDS["non_inferiority"](metric="accuracy", margin=0.05, **judged),
        KINDS["slices"](metric="accuracy", at_least=0.3),
        KINDS["slices_against_champion"](margin=0.1),
        KINDS["fairness"](measures=("accuracy", "tpr"), attributes="all", at_most=0.5, **judged),
        KINDS["noise"](deviations=(0.01, 0.05, 0.1), accuracy_drop_below=0.5, **judged),
        KINDS["importance"](),
    )
    checks = run_checks(rules, evidence, bootstrap=True)
    return to_html(report_around(checks, n=_N, answers=answers_of(evidence)))


def _evidence() -> Evidence:
    rng = np.random.default_rng(1)
    contract = Contract(
        schema_version=1,
        name="toy",
        id="customer",
        target="leaves",
        labels=Labels(positive="Yes", negative="No"),
        features=(
            Numeric(name="tenure", minimum=0, maximum=72, integer=True, unit="month"),
            Choice(name="A feature with quite a long name", categories=("a category that is long too", "another")),
        ),
        protected=("A feature with quite a long name",),
    )
    plan = rng.choice(["a category that is long too", "another"], _N).tolist()
    columns = {"tenure": rng.integers(0, 73, _N).tolist(), "A feature with quite a long name": plan}
    rows = Encoder(contract).encode_columns(columns)

    def score(found: np.ndarray) -> np.ndarray:
        return (0.9 - found[:, 0] / 90).astype(np.float32)

    binned = tuple(Binned(name=f.name, bins=("all",), counts=(1000,), deviation=20.0) for f in contract.features)
    reference = Reference(n=1000, features=binned, score=Binned(name="score", bins=("all",), counts=(1000,)))
    record = TrainingRecord(
        data="d", is_synthetic=True, rows=1, holdout="h", holdout_rows=1, holdout_share=0.2, seed=0, estimator="e",
        parameters={}, left_out=(), metrics={}, parity=0.0, versions={}, git_revision=None, run=None,
    )  # fmt: skip
    facts = Facts(reference, record, 1000, 2000, lambda found: score(found).astype(np.float64))
    return Evidence(
        contract=contract,
        columns=columns,
        truth=rng.random(_N) < score(rows),
        rows=rows,
        candidate=Subject("candidate", score, 0.5, rows, facts),
        champion=Subject("champion", lambda found: (score(found) * 0.9).astype(np.float32), 0.5, rows, facts),
        groups={"A feature with quite a long name": tuple(plan)},
        numbers=(Number("tenure", 0, None, 20.0, 0.0, 72.0),),
        seed=1,
    )
