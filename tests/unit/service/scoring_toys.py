"""Models whose word is known, roles made of them, and scoring put together without a Bento."""

from __future__ import annotations

import time

import numpy as np
from serving_toys import CONTRACT, FEATURES, NOW_MICROS

from bentos.artifact import Encoder
from service.scoring.batching import Asked, Scoring
from service.scoring.deciding import Roles, Scored, ScoreRequest, Trial, assign
from service.scoring.models import Identity, Model, Rows


class Says:
    """A scorer that says one value for every row, or raises, or takes its time."""

    def __init__(self, value, *, seconds=0.0):
        self.value = value
        self.seconds = seconds
        self.calls = 0

    def score_first(self, n):
        self.calls += 1
        time.sleep(self.seconds)
        if isinstance(self.value, Exception):
            raise self.value
        return [self.value] * n

    def score(self, rows):
        return np.array(self.score_first(len(rows)), dtype=np.float64)


class FailsOn(Says):
    """A scorer that raises for every call that has a certain tenure in its rows."""

    def __init__(self, value, tenure):
        super().__init__(value)
        self.tenure = tenure
        self.rows = None

    def score_first(self, n):
        return self.score(self.rows.values[:n])

    def score(self, rows):
        if (rows[:, 0] == self.tenure).any():
            raise RuntimeError("boom")
        return np.full(len(rows), self.value)


class Counted:
    """What was counted."""

    def __init__(self):
        self.scored = []
        self.calls = []

    def count_scored(self, scored, roles):
        self.scored += zip(scored, roles, strict=True)

    def count_call(self, model, rows, seconds):
        self.calls.append((str(model.identity), rows))


def model(version, value, contract=CONTRACT):
    identity = Identity(name="toy", version=version, digest="sha256:" + version * 64)
    scorer = value if isinstance(value, Says) else Says(value)
    return Model(identity, contract, scorer)


def roles(champion=0.3, challenger=0.7, mode="split", split=1.0, **changes):
    challengers = () if challenger is None else (challenger,)
    found = [one if isinstance(one, Model) else model(str(i), one) for i, one in enumerate(challengers, 2)]
    return Roles(
        **{
            "experiment": "experiment-2",
            "revision": 4,
            "effective_from": 0,
            "mode": mode,
            "salt": "salt",
            "champion": champion if isinstance(champion, Model) else model("1", champion),
            "trials": tuple(Trial(f"experiment-{i}", one, split) for i, one in enumerate(found, 2)),
            **changes,
        }
    )


def scoring(*, written=True, must_log=False, budget_seconds=10.0, is_bound=True, capacity=8):
    log, counts = [], Counted()

    def write(records):
        log.extend(records)
        return [written] * len(records)

    found = Scoring(
        Rows(Encoder(CONTRACT), capacity),
        is_bound=is_bound,
        write=write,
        counts=counts,
        circuits={},
        budget_seconds=budget_seconds,
        must_log=must_log,
    )
    return found, log, counts


def asked(roles, *, pin=None, **request):
    wanted = ScoreRequest(features=dict(FEATURES), **{"customer_id": "somebody", **request})
    customer = None if wanted.customer_id is None else str(wanted.customer_id)
    return Asked(wanted, assign(roles, customer, pin), roles, "id", NOW_MICROS, time.perf_counter())


def run(roles, *, pin=None, **request) -> Scored:
    """Score one request; raises what it is answered with where that is an error."""
    found, _, _ = scoring()
    one = asked(roles, pin=pin, **request)
    found.rows.fill(0, one.request.features)
    answer = found.score([one])[0]
    if isinstance(answer, Exception):
        raise answer
    return answer
