"""Customers whose plan and tenure matter, models of them that are right or wrong in one way, and references."""

import dataclasses

import numpy as np
from gate_evidence import CONTRACT, columns_of, evidence, facts, number, subject

from bentos.artifact import Binned, Encoder, Reference
from validation.gate.checks import KINDS

N = 600
ENCODER = Encoder(CONTRACT)
COLUMN = {name: i for i, name in enumerate(ENCODER.columns)}


def rule(kind, **given):
    return KINDS[kind](**given)


def table(seed=0):
    rng = np.random.default_rng(seed)
    return columns_of(
        N,
        tenure=rng.integers(0, 73, N).tolist(),
        charge=rng.uniform(0, 120, N).tolist(),
        gender=rng.choice(["Female", "Male"], N).tolist(),
        plan=rng.choice(["monthly", "yearly"], N).tolist(),
    )


def sensible(rows):
    """Falls with tenure, and is higher for monthly plans."""
    logit = 1.5 - 0.06 * rows[:, COLUMN["tenure"]] + 1.0 * rows[:, COLUMN["plan=monthly"]]
    return (1 / (1 + np.exp(-logit))).astype(np.float32)


def found_for(score, champion=None, truth=None, known=None, contract=CONTRACT, columns=None):
    columns = columns or table()
    n = len(columns["tenure"])
    rows = ENCODER.encode_columns(columns)
    if truth is None:
        truth = np.random.default_rng(1).random(n) < sensible(rows)
    numbers = (
        number(COLUMN["tenure"], name="tenure", deviation=20.0, high=72.0),
        number(COLUMN["charge"], name="charge", missing=COLUMN["charge=missing"], deviation=30.0, high=120.0),
    )
    found = evidence(score, champion, truth=truth, columns=columns, numbers=numbers, contract=contract)
    known = known or facts(reference=reference())
    return dataclasses.replace(found, candidate=subject(score, found.rows, known=known))


def with_champion(found, score, known):
    return dataclasses.replace(found, champion=subject(score, found.rows, "champion", known=known))


def reference(tenure=(333, 333, 334), plan=(500, 500, 0, 0), charge=(500, 500, 0), gender=(500, 500, 0)):
    """What training saw; by default what `table` draws from."""
    features = (
        Binned(name="tenure", edges=(24.0, 48.0), bins=("low", "middle", "high"), counts=tenure, deviation=20.0),
        Binned(name="charge", edges=(60.0,), bins=("low", "high", "missing"), counts=charge, deviation=30.0),
        Binned(name="gender", bins=("Female", "Male", "unseen"), counts=gender),
        Binned(name="plan", bins=("monthly", "yearly", "missing", "unseen"), counts=plan),
    )
    return Reference(n=1000, features=features, score=Binned(name="score", bins=("all",), counts=(1000,)))
