"""Evidence for the checks, made of answers that stand here: no model is fitted, no registry asked."""

import numpy as np

from bentos.artifact import Binned, Categorical, Contract, Encoder, Labels, Numeric, Reference, TrainingRecord
from validation.gate.checks import run_checks
from validation.gate.evidence import Evidence, Facts, Number, Subject

TRUTH = np.array([True] * 50 + [False] * 50)

CONTRACT = Contract(
    schema_version=1,
    name="toy",
    id="customer",
    target="leaves",
    labels=Labels(positive="Yes", negative="No"),
    features=(
        Numeric(name="tenure", minimum=0, maximum=72, integer=True, unit="month"),
        Numeric(name="charge", minimum=0, maximum=120, missing=("",), fill=0.0),
        Categorical(name="gender", categories=("Female", "Male")),
        Categorical(name="plan", categories=("monthly", "yearly"), missing=("",)),
    ),
    protected=("gender",),
)


def columns_of(n, **columns):
    """Rows of the contract, all alike but for the columns that are given."""
    alike = {"tenure": [10] * n, "charge": [50.0] * n, "gender": ["Female"] * n, "plan": ["monthly"] * n}
    return {**alike, **columns}


def answers(right, truth=TRUTH):
    """A model that is right on the rows that `right` says, as a column of probabilities."""
    return np.where(np.asarray(right, dtype=bool) == truth, 0.9, 0.1)


def right_on(count, n=100):
    """Right on that many of n rows, spread evenly over both classes."""
    order = np.argsort(np.arange(n) % (n // 2), kind="stable")
    right = np.zeros(n, dtype=bool)
    right[order[:count]] = True
    return right


def facts(contract=CONTRACT, *, reference=None, estimate=None, **record):
    """What an artifact says of its model, without an artifact."""
    binned = tuple(Binned(name=f.name, bins=("all",), counts=(1000,), deviation=1.0) for f in contract.features)
    score = Binned(name="score", bins=("all",), counts=(1000,))
    training = {
        "data": "sha256:data",
        "is_synthetic": True,
        "rows": 500,
        "holdout": "sha256:holdout",
        "holdout_rows": 100,
        "holdout_share": 0.2,
        "seed": 0,
        "estimator": "toy.Estimator",
        "parameters": {},
        "left_out": (),
        "metrics": {},
        "parity": 0.0,
        "versions": {},
        "git_revision": None,
        "run": None,
    }
    return Facts(
        reference=reference or Reference(n=1000, features=binned, score=score),
        training=TrainingRecord(**{**training, **record}),
        model_bytes=1000,
        artifact_bytes=2000,
        estimate=estimate or (lambda rows: np.full(len(rows), 0.5)),
    )


def subject(score, rows, role="candidate", cut=0.5, known=None):
    """A model: a function of encoded rows, or the column of probabilities that it gives whatever it is asked."""
    if not callable(score):
        values = np.asarray(score, dtype=np.float32)
        return Subject(role=role, score=lambda _: values, cut=cut, rows=rows, facts=known or facts())
    return Subject(role=role, score=score, cut=cut, rows=rows, facts=known or facts())


def evidence(candidate, champion=None, truth=TRUTH, groups=None, numbers=(), seed=1, columns=None, contract=CONTRACT):
    """What checks are judged on; without columns every row is alike, and encoded as nothing."""
    rows = np.zeros((truth.size, 1), dtype=np.float32)
    if columns is not None:
        rows = Encoder(contract).encode_columns(columns)
    return Evidence(
        contract=contract,
        columns=columns or columns_of(truth.size),
        truth=truth,
        rows=rows,
        candidate=subject(candidate, rows),
        champion=None if champion is None else subject(champion, rows, "champion"),
        groups=groups or {},
        numbers=numbers,
        seed=seed,
    )


def number(column, *, name="tenure", missing=None, deviation=1.0, low=0.0, high=1.0):
    """A numeric feature in encoded rows."""
    return Number(name, column, missing, deviation, low, high)


def judge(rule, found, bootstrap=False):
    """What one rule says of the evidence."""
    return run_checks((rule,), found, bootstrap=bootstrap)
