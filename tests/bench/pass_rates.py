"""How often each policy passes models that are equal, worse or wrong: `python -m tests.bench.pass_rates`.

Each resample splits the data anew into four fifths to fit on and a fifth to judge on, fits the champion and its rivals
with scikit-learn, and has the gate's own checks judge. Checks that a split cannot change (parity, latency, size, edges)
are left out; `--rules fast` leaves out those too that ask the models again and again (noise, shuffling and their like),
which take most of the time. `--resamples`, `--data` and `--seed` change the rest.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.artifact import Contract, Encoder, Feature, Numeric, Value, category_of
from bentos.folder import Folder
from training.data import read_data
from training.reference import reference_of
from training.use_case import load_use_case
from validation.gate.checks import run_checks
from validation.gate.checks.rule import Rule
from validation.gate.defaults import POLICIES
from validation.gate.evidence import Evidence, Facts, Subject
from validation.gate.holdout import Holdout, holdout_of
from validation.gate.policy import load_policy
from validation.gate.report import awaited_in, verdict_of
from validation.gate.run import numbers_of

ROOT = Path(__file__).resolve().parents[2]
TELCO = ROOT.parent / "shared" / "data" / "telco.csv"
UNCHANGED = ("onnx_parity", "latency", "artifact_size", "edge_rows")
SLOW = ("noise", "flips", "missing", "unseen", "shift", "importance", "direction", "contradicting_rows")

Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Rival:
    """A model that asks to replace the champion.

    Attributes:
        name: What is true of it.
        score: Its probabilities.
        cut: From which it answers positive.
        wanted: Whether it should pass: True, False, or None where either is right.
    """

    name: str
    score: Score
    cut: float = 0.5
    wanted: bool | None = None


def champion_and_rivals(
    x: NDArray[np.float32], y: NDArray[np.bool_], encoder: Encoder, seed: int
) -> tuple[Score, list[Rival]]:
    """Fit the champion, and rivals that are wrong in one way each."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def logistic(columns: list[int], rows: slice = slice(None), c: float = 1.0) -> Score:
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000)).fit(
            x[rows][:, columns], y[rows]
        )
        return lambda found: fitted.predict_proba(found[:, columns])[:, 1].astype(np.float32)

    everything = list(range(encoder.width))
    without = {n: [i for i in everything if not a <= i < b] for n, (a, b) in encoder.spans.items()}
    forest = RandomForestClassifier(50, max_depth=10, min_samples_leaf=10, random_state=seed % 2**31).fit(x, y)
    champion = logistic(everything)
    half = logistic(everything, slice(0, len(x) // 2))
    tenure = encoder.spans["tenure"][0]
    senior = encoder.columns.index("SeniorCitizen=1")
    charges = encoder.spans["MonthlyCharges"][0]

    def mixed(share: float) -> Score:
        """The champion, drowned in noise that each row always gets."""
        return lambda rows: np.clip(champion(rows) + share * _noise_of(rows), 0, 1).astype(np.float32)

    def unfair(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turns seniors' answers round."""
        return np.where(rows[:, senior] == 1, 1 - champion(rows), champion(rows)).astype(np.float32)

    def brittle(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Right as long as MonthlyCharges has the cents that it had."""
        is_odd = np.abs(rows[:, charges] * 20 - np.round(rows[:, charges] * 20)) > 0.01
        return np.where(is_odd, 1 - champion(rows), champion(rows)).astype(np.float32)

    def overconfident(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        p = champion(rows).astype(np.float64).clip(1e-6, 1 - 1e-6)
        return (1 / (1 + (p / (1 - p)) ** -3.0)).astype(np.float32)

    def backwards(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Believes that who stays long leaves."""
        turned = rows.copy()
        turned[:, tenure] = 72 - turned[:, tenure]
        return champion(turned)

    return champion, [
        Rival("equal: fitted on half of the rows", half, wanted=True),
        Rival("equal: random forest", lambda r: forest.predict_proba(r)[:, 1].astype(np.float32), wanted=True),
        Rival("equal: without PaymentMethod", logistic(without["PaymentMethod"]), wanted=True),
        Rival("a little worse: noise .1", mixed(0.1)),
        Rival("worse: noise .2", mixed(0.2), wanted=False),
        Rival("clearly worse: noise .4", mixed(0.4), wanted=False),
        Rival("never flags", lambda rows: np.full(len(rows), 0.26, dtype=np.float32), wanted=False),
        Rival("unfair: seniors turned round", unfair, wanted=False),
        Rival("brittle: leans on the cents of a price", brittle, wanted=False),
        Rival("overconfident: logits tripled", overconfident, wanted=False),
        Rival("backwards in tenure", backwards, wanted=False),
    ]


def leaky(champion: Score, truths: dict[bytes, bool]) -> Rival:
    """Knows the answer of nine rows in ten."""

    def score(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        known = np.array([truths.get(row.tobytes(), -1) for row in rows], dtype=float)
        knows = (known >= 0) & (_noise_of(rows) < 1.28)
        return np.where(knows, 0.05 + 0.9 * known, champion(rows)).astype(np.float32)

    return Rival("leaky: has seen the answers", score, wanted=False)


def verdict_on(rules: tuple[Rule, ...], evidence: Evidence) -> tuple[str, str]:
    """How the gate decides, and the first check that is to blame where it fails."""
    checks = run_checks(rules, evidence, bootstrap=True)
    verdict = verdict_of(checks)
    if awaited_in(checks):
        return "for the shadow", ""
    blame = next((check.name for check in checks if check.status == verdict), "") if verdict != "PASS" else ""
    return verdict, blame


def split(whole: Holdout, contract: Contract, encoder: Encoder, seed: int) -> tuple[Evidence, list[Rival]]:
    """Four fifths to fit on, a fifth to judge on."""
    order = np.random.default_rng(seed).permutation(whole.truth.size)
    kept, fitted = order[: whole.truth.size // 5], order[whole.truth.size // 5 :]
    training, holdout = _rows_of(whole, fitted), _rows_of(whole, kept)
    x, rows = encoder.encode_columns(training.columns), encoder.encode_columns(holdout.columns)
    champion, rivals = champion_and_rivals(x, training.truth, encoder, seed)
    frame = pd.DataFrame({f.name: _as_column(f, training.columns[f.name]) for f in contract.features})
    reference = reference_of(contract, frame, champion(x).astype(np.float64))
    facts = Facts(reference, _Record(), 1000, 1000, lambda found: champion(found).astype(np.float64))  # type: ignore[arg-type]
    truths = {row.tobytes(): bool(truth) for row, truth in zip(rows, holdout.truth, strict=True)}
    subject = Subject("champion", champion, contract.cut, rows, facts)
    evidence = Evidence(
        contract=contract,
        columns=holdout.columns,
        truth=holdout.truth,
        rows=rows,
        candidate=replace(subject, role="candidate"),
        champion=subject,
        groups=holdout.groups_of(contract),
        numbers=numbers_of(contract, encoder, reference),
        seed=seed,
    )
    return evidence, [*rivals, leaky(champion, truths)]


def _rows_of(whole: Holdout, rows: NDArray[np.intp]) -> Holdout:
    columns = {name: [values[i] for i in rows] for name, values in whole.columns.items()}
    return Holdout(whole.digest, columns, whole.truth[rows])


def _as_column(feature: Feature, values: list[Value]) -> Any:
    if isinstance(feature, Numeric):
        return np.array([np.nan if value is None else float(value) for value in values])
    return pd.Series([None if value is None else category_of(feature, value) for value in values], dtype=object)


class _Record:
    """Of a training record the checks read this alone."""

    left_out: tuple[str, ...] = ()


def table(data: str, resamples: int, seed: int, kinds: str, progress: Callable[[str], object]) -> Iterator[str]:
    """Both policies on one data set, in Markdown."""
    use_case = load_use_case(ROOT / "training" / "use_cases" / "telco_churn.yaml")
    source = str(TELCO) if data == "telco" else None
    frame = read_data(use_case, source, folder=Folder(Path("gauntlet-home")), rows=7043).frame
    contract = use_case.contract
    whole, encoder = holdout_of(_table(frame, contract), contract, "sha256:whole"), Encoder(contract)
    rules = {name: _rules_of(name, kinds) for name in ("baseline", "production")}
    found: dict[tuple[str, str], Counter[str]] = {}
    blamed: dict[tuple[str, str], Counter[str]] = {}
    for number in range(resamples):
        progress(f"{data}: {number + 1} of {resamples}")
        evidence, rivals = split(whole, contract, encoder, seed * 1_000_000 + number)
        for rival in rivals:
            candidate = replace(evidence.candidate, score=_remembering(rival.score), cut=rival.cut)
            for policy, asked in rules.items():
                verdict, blame = verdict_on(asked, replace(evidence, candidate=candidate))
                found.setdefault((policy, rival.name), Counter())[verdict] += 1
                blamed.setdefault((policy, rival.name), Counter())[blame] += bool(blame)
    yield "| challenger | policy | PASS | shadow alone | INCONCLUSIVE | FAIL | mostly because of |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    for policy, name in sorted(found, key=lambda key: key[0]):
        yield _row(name, policy, found[policy, name], blamed[policy, name], resamples)


def _rules_of(policy: str, kinds: str) -> tuple[Rule, ...]:
    left_out = {*UNCHANGED, *(SLOW if kinds == "fast" else ())}
    return tuple(rule for rule in load_policy(POLICIES / f"{policy}.yaml")[0].rules if rule.kind not in left_out)


def _remembering(score: Score) -> Score:
    """Answers again what it was asked already: both policies ask about the same holdout."""
    known: dict[int, NDArray[np.float32]] = {}

    def answer(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if id(rows) not in known and len(known) < 1:
            known[id(rows)] = score(rows)
        return known[id(rows)] if id(rows) in known else score(rows)

    return answer


def _row(name: str, policy: str, found: Counter[str], blamed: Counter[str], resamples: int) -> str:
    reason = ", ".join(f"{check} {number / resamples:.3f}" for check, number in blamed.most_common(3) if number)
    share = {k: f"{found[k] / resamples:.3f}" for k in ("PASS", "for the shadow", "INCONCLUSIVE")}
    failed = f"{(found['FAIL'] + found['ERROR']) / resamples:.3f}"
    return f"| {name} | {policy} | {' | '.join(share.values())} | {failed} | {reason} |"


def _table(frame: Any, contract: Contract) -> dict[str, list[Value]]:
    names = [contract.id, *(feature.name for feature in contract.features), contract.target]
    return {name: [_plain(value) for value in frame[name].tolist()] for name in names}


def _plain(value: Any) -> Value:
    return None if isinstance(value, float) and np.isnan(value) else value


def _noise_of(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Standard normal noise that depends on the row alone, so that a model that has it answers the same every time."""
    mixed = (rows.astype(np.float64) @ np.sin(np.arange(1, rows.shape[1] + 1) * 12.9898)) * 43758.5453
    uniform = (mixed - np.floor(mixed)).clip(1e-9, 1 - 1e-9)
    from scipy.stats import norm

    return np.asarray(norm.ppf(uniform))


def _say(what: str) -> None:
    print(f"... {what}", file=sys.stderr)  # noqa: T201


def main(arguments: list[str] | None = None) -> int:
    """Judge and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--resamples", type=int, default=1000)
    asked.add_argument("--data", choices=["telco", "synthetic"], action="append")
    asked.add_argument("--rules", choices=["fast", "all"], default="all")
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args(arguments)
    for data in options.data or ["telco", "synthetic"]:
        if data == "telco" and not TELCO.is_file():
            print(f"{TELCO} is not there: not judged on it", file=sys.stderr)  # noqa: T201
            continue
        began = time.monotonic()
        lines = list(table(data, options.resamples, options.seed, options.rules, _say))
        print(f"{data}: {options.resamples:,} splits, {options.rules} rules, {time.monotonic() - began:.0f} s\n")  # noqa: T201
        print("\n".join(lines), "\n")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
