"""Models that ask to replace a champion: as good as it, worse by so many points, or wrong in one way each.

All are functions of encoded rows. What is random about an answer depends on its row alone, so that a model that is
asked twice answers the same, as a real one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from bentos.artifact import Encoder

Rows = NDArray[np.float32]
Score = Callable[[Rows], NDArray[np.float32]]
Truth = NDArray[np.bool_]
Fit = Callable[[Rows, Truth, Sequence[int] | None], Score]

_TENURE_MONTHS = 72
_READ_BY_BETTER = ("Contract", "tenure")


@dataclass(frozen=True)
class Rival:
    """A model that asks to replace the champion.

    Attributes:
        name: What is true of it.
        score: Its probabilities.
        champion: Whom it asks to replace.
        wanted: Whether it should be blessed; None where either is right.
    """

    name: str
    score: Score
    champion: Score
    wanted: bool | None


def fit_logistic(x: Rows, y: Truth, columns: Sequence[int] | None = None) -> Score:
    """A logistic regression of scaled columns, as one product and one sigmoid: it is asked very often.

    Args:
        x: Encoded rows, shape (n_rows, width).
        y: Whether each is positive, shape (n_rows,).
        columns: What it reads; None: everything.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    read = np.arange(x.shape[1]) if columns is None else np.asarray(columns)
    scaler = StandardScaler().fit(x[:, read])
    fitted = LogisticRegression(max_iter=2000).fit(scaler.transform(x[:, read]), y)
    weights = np.zeros(x.shape[1])
    weights[read] = fitted.coef_[0] / scaler.scale_
    bias = float(fitted.intercept_[0] - scaler.mean_ @ weights[read])
    return lambda rows: expit(rows @ weights + bias).astype(np.float32)


def fit_trees(x: Rows, y: Truth, columns: Sequence[int] | None = None) -> Score:
    """Gradient boosting, small enough to be asked very often; as `fit_logistic` otherwise."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    read = np.arange(x.shape[1]) if columns is None else np.asarray(columns)
    fitted = HistGradientBoostingClassifier(learning_rate=0.25, max_iter=20, max_leaf_nodes=8, random_state=0)
    fitted.fit(x[:, read], y)
    return lambda rows: fitted.predict_proba(rows[:, read])[:, 1].astype(np.float32)


FITS: dict[str, Fit] = {"logistic regression": fit_logistic, "gradient boosting": fit_trees}


def rivals_of(x: Rows, y: Truth, rows: Rows, truth: Truth, *, encoder: Encoder, cut: float, family: str) -> list[Rival]:
    """Fit a champion, and everybody who asks to replace it.

    Args:
        x: Encoded rows to fit on, shape (n_fitted, width).
        y: Whether each is positive.
        rows: Encoded rows of the holdout, which the leaky one alone has seen.
        truth: Whether each is positive.
        encoder: Says where each feature stands.
        cut: From which probability a model answers positive.
        family: What the champion is, a key of `FITS`; one of its rivals is of another.
    """
    fit, other = FITS[family], next(name for name in FITS if name != family)
    champion = fit(x, y, None)
    weaker = fit(x, y, _columns_without(encoder, *_READ_BY_BETTER))
    right = float(np.mean((champion(x) >= cut) == y))

    def against(name: str, score: Score, *, wanted: bool | None) -> Rival:
        return Rival(name, score, champion, wanted)

    return [
        Rival("better: reads two more columns than its champion", champion, weaker, wanted=True),
        against("equal: half of the rows", fit(x[: len(x) // 2], y[: len(x) // 2], None), wanted=True),
        against(f"another family: {other}", FITS[other](x, y, None), wanted=None),
        against("equal: without PaymentMethod", fit(x, y, _columns_without(encoder, "PaymentMethod")), wanted=True),
        *(
            against(f"{points} point{'s' * (points > 1)} worse", _worse(champion, points / 100, right), wanted=wanted)
            for points, wanted in ((1, None), (3, False), (5, False))
        ),
        against("never flags", lambda found: np.full(len(found), 0.26, dtype=np.float32), wanted=False),
        against("unfair: seniors turned round", _unfair(champion, encoder), wanted=False),
        against("brittle: leans on the cents of a price", _brittle(champion, encoder, x), wanted=False),
        against("overconfident: logits tripled", _overconfident(champion), wanted=False),
        against("backwards in tenure", _backwards(champion, encoder), wanted=False),
        against("leaky: knows nine answers in ten", _leaky(champion, rows, truth), wanted=False),
    ]


def _columns_without(encoder: Encoder, *names: str) -> list[int]:
    left_out = {column for name in names for column in range(*encoder.spans[name])}
    return [column for column in range(encoder.width) if column not in left_out]


def _worse(champion: Score, loss: float, right: float) -> Score:
    """Turns the answers of so many rows round that accuracy falls by the loss, all kinds of rows alike."""
    share = loss / (2 * right - 1)

    def score(rows: Rows) -> NDArray[np.float32]:
        found = champion(rows)
        return np.where(uniform_of(rows) < share, 1 - found, found).astype(np.float32)

    return score


def _unfair(champion: Score, encoder: Encoder) -> Score:
    senior = encoder.columns.index("SeniorCitizen=1")
    return lambda rows: np.where(rows[:, senior] == 1, 1 - champion(rows), champion(rows)).astype(np.float32)


def _brittle(champion: Score, encoder: Encoder, x: Rows) -> Score:
    """Right as long as MonthlyCharges is a whole number of steps (of 5 cents, or 1), as all that were seen are."""
    charges = encoder.spans["MonthlyCharges"][0]

    def is_odd(rows: Rows, steps: int) -> NDArray[np.bool_]:
        return np.asarray(np.abs(rows[:, charges] * steps - np.round(rows[:, charges] * steps)) > 0.01)

    steps = next(steps for steps in (20, 100) if not is_odd(x, steps).any())

    def score(rows: Rows) -> NDArray[np.float32]:
        return np.where(is_odd(rows, steps), 1 - champion(rows), champion(rows)).astype(np.float32)

    return score


def _overconfident(champion: Score) -> Score:
    """Ranks and decides as the champion, and promises too much."""
    return lambda rows: expit(3 * logit(champion(rows).astype(np.float64).clip(1e-6, 1 - 1e-6))).astype(np.float32)


def _backwards(champion: Score, encoder: Encoder) -> Score:
    """Believes that who has stayed long leaves."""
    tenure = encoder.spans["tenure"][0]

    def score(rows: Rows) -> NDArray[np.float32]:
        turned = rows.copy()
        turned[:, tenure] = _TENURE_MONTHS - turned[:, tenure]
        return champion(turned)

    return score


def _leaky(champion: Score, rows: Rows, truth: Truth) -> Score:
    truths = {row.tobytes(): bool(answer) for row, answer in zip(rows, truth, strict=True)}

    def score(found: Rows) -> NDArray[np.float32]:
        known = np.array([truths.get(row.tobytes(), -1) for row in found], dtype=np.float64)
        knows = (known >= 0) & (uniform_of(found) < 0.9)
        return np.where(knows, 0.05 + 0.9 * known, champion(found)).astype(np.float32)

    return score


def uniform_of(rows: Rows) -> NDArray[np.float64]:
    """A number in [0, 1) that depends on the row alone, shape (n_rows,).

    >>> uniform_of(np.ones((2, 3), dtype=np.float32)).tolist()[0] == uniform_of(np.ones((1, 3), dtype=np.float32))[0]
    True
    """
    mixed = (rows.astype(np.float64) * np.sin(np.arange(1, rows.shape[1] + 1) * 12.9898)).sum(axis=1) * 43758.5453
    return np.asarray(mixed - np.floor(mixed))
