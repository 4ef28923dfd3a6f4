"""How often each shipped policy passes models that are as good, worse or wrong: `python -m tests.bench.pass_rates`.

What is resampled is the split: each time four fifths of the rows are drawn to fit on, the champion and its rivals are
fitted on them, and the gate's own checks judge on the fifth that is left, so no row is judged that was fitted on.
Checks that a split does not change (parity, latency, size, edge rows) are left out. Rules that ask a model hundreds of
times (noise, shuffling and their like) run where no other rule has failed a model: nothing could make it pass then.
The table is therefore that of all rules; the reason named is the first that failed.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.artifact import Contract, Encoder, Feature, Numeric, Value, categories_of
from bentos.folder import Folder
from tests.bench.machine import ROOT, progress, say
from tests.bench.report import table
from tests.bench.rivals import Rival, Score, rivals_of
from training.data import read_data
from training.reference import reference_of
from training.use_case import load_use_case
from validation.gate.checks import Rule, run_checks
from validation.gate.defaults import POLICIES
from validation.gate.evidence import Evidence, Facts, Subject
from validation.gate.holdout import Holdout, holdout_of
from validation.gate.metrics import value_of
from validation.gate.policy import load_policy
from validation.gate.report import CheckResult, awaited_in, verdict_of
from validation.gate.run import numbers_of
from validation.statistics import wilson_interval

TELCO = ROOT.parent / "shared" / "data" / "telco.csv"
UNCHANGED = ("onnx_parity", "latency", "artifact_size", "edge_rows")
SLOW = ("noise", "flips", "missing", "unseen", "shift", "importance", "direction", "contradicting_rows")
SHIPPED = ("baseline", "production")
_ROWS = 7043
"""Of the synthetic data: as many as Telco has."""

_FAMILIES = {"telco": "logistic regression", "synthetic": "gradient boosting"}
"""What a good champion is on either: the synthetic churn has interactions that no line finds."""


@dataclass(frozen=True)
class Whole:
    """All rows of a data set."""

    contract: Contract
    encoder: Encoder
    rows: Holdout


@dataclass(frozen=True)
class Judged:
    """What a policy said of one rival on one split.

    Attributes:
        split: Its number.
        policy: Its name.
        rival: Its name.
        wanted: Whether it should be blessed.
        verdict: PASS, SHADOW (blessed for it alone), INCONCLUSIVE, FAIL or ERROR.
        blame: The first check of that verdict; empty for what is blessed.
        accuracy: The rival's less its champion's.
        roc_auc: The same.
    """

    split: int
    policy: str
    rival: str
    wanted: bool | None
    verdict: str
    blame: str
    accuracy: float
    roc_auc: float


def judge_split(data: str, seed: int, policies: tuple[str, ...], number: int) -> list[Judged]:
    """Split once, fit, and judge every rival by every policy.

    Args:
        data: `telco` or `synthetic`.
        seed: Of all splits.
        policies: Names of shipped ones.
        number: Which split.
    """
    whole = whole_of(data)
    found = []
    for rival, evidence in evidence_of(whole, seed * 1_000_000 + number, _FAMILIES[data]):
        accuracy, roc_auc = (_lead(evidence, metric) for metric in ("accuracy", "roc_auc"))
        for policy in policies:
            verdict, blame = decide(*rules_of(policy), evidence)
            found.append(Judged(number, policy, rival.name, rival.wanted, verdict, blame, accuracy, roc_auc))
    return found


def decide(quick: tuple[Rule, ...], slow: tuple[Rule, ...], evidence: Evidence) -> tuple[str, str]:
    """The verdict, and which check is to blame where nothing is blessed."""
    checks: tuple[CheckResult, ...] = run_checks(quick, evidence, bootstrap=True) if quick else ()
    if not {check.status for check in checks} & {"FAIL", "ERROR"}:
        checks += run_checks(slow, evidence, bootstrap=True) if slow else ()
    verdict = verdict_of(checks)
    if verdict == "PASS" or awaited_in(checks):
        return ("PASS" if verdict == "PASS" else "SHADOW"), ""
    return verdict, next(check.name for check in checks if check.status == verdict)


@cache
def rules_of(policy: str) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """A shipped policy's quick rules and its slow ones."""
    rules = [rule for rule in load_policy(POLICIES / f"{policy}.yaml")[0].rules if rule.kind not in UNCHANGED]
    return tuple(r for r in rules if r.kind not in SLOW), tuple(r for r in rules if r.kind in SLOW)


@cache
def whole_of(data: str) -> Whole:
    """Read a data set."""
    use_case = load_use_case(ROOT / "training" / "use_cases" / "telco_churn.yaml")
    source = str(TELCO) if data == "telco" else None
    frame = read_data(use_case, source, folder=Folder(Path("gauntlet-home")), rows=_ROWS).frame
    contract = use_case.contract
    names = [contract.id, *(feature.name for feature in contract.features), contract.target]
    values = {name: [_plain(value) for value in frame[name].tolist()] for name in names}
    return Whole(contract, Encoder(contract), holdout_of(values, contract, "sha256:whole"))


def evidence_of(whole: Whole, seed: int, family: str) -> Iterator[tuple[Rival, Evidence]]:
    """Split, fit, and give each rival's evidence on the fifth that nobody was fitted on."""
    contract, encoder = whole.contract, whole.encoder
    order = np.random.default_rng(seed).permutation(whole.rows.truth.size)
    held = whole.rows.truth.size // 5
    holdout, training = _rows_of(whole.rows, order[:held]), _rows_of(whole.rows, order[held:])
    x, rows = encoder.encode_columns(training.columns), encoder.encode_columns(holdout.columns)
    frame = pd.DataFrame({f.name: _as_column(f, training.columns[f.name]) for f in contract.features})
    rivals = rivals_of(x, training.truth, rows, holdout.truth, encoder=encoder, cut=contract.cut, family=family)
    reference = reference_of(contract, frame, rivals[1].champion(x).astype(np.float64))

    def subject(role: str, score: Score) -> Subject:
        facts = Facts(reference, _Record(), 1000, 1000, lambda found: score(found).astype(np.float64))  # type: ignore[arg-type]
        return Subject(role, score, contract.cut, rows, facts)

    everybody = Evidence(
        contract=contract,
        columns=holdout.columns,
        truth=holdout.truth,
        rows=rows,
        candidate=subject("candidate", rivals[0].score),
        champion=None,
        groups=holdout.groups_of(contract),
        numbers=numbers_of(contract, encoder, reference),
        seed=seed,
    )
    for rival in rivals:
        candidate, champion = subject("candidate", rival.score), subject("champion", rival.champion)
        yield rival, replace(everybody, candidate=candidate, champion=champion)


class _Record:
    """Of a training record the checks read this alone."""

    left_out: tuple[str, ...] = ()


def _lead(evidence: Evidence, metric: str) -> float:
    mine, theirs = (value_of(metric, evidence.answered(subject)) for subject in evidence.subjects)
    return mine - theirs


def _rows_of(whole: Holdout, rows: NDArray[np.intp]) -> Holdout:
    columns = {name: [values[i] for i in rows.tolist()] for name, values in whole.columns.items()}
    return Holdout(whole.digest, columns, whole.truth[rows], tuple(whole.ids[row] for row in rows))


def _as_column(feature: Feature, values: list[Value]) -> Any:
    if isinstance(feature, Numeric):
        return np.array([np.nan if value is None else float(value) for value in values])
    return pd.Series(categories_of(feature, values), dtype=object)


def _plain(value: Any) -> Value:
    return None if isinstance(value, float) and np.isnan(value) else value


def render(judged: Iterable[Judged]) -> str:
    """The shares as Markdown, a line a rival and policy."""
    lines: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        lines.setdefault((one.policy, one.rival), []).append(one)
    return table(_HEAD, [_line(found) for _, found in sorted(lines.items(), key=lambda line: line[0][0])])


_HEAD = (
    "challenger", "policy", "accuracy", "ROC-AUC", "PASS", "shadow alone", "INCONCLUSIVE", "FAIL", "blessed, 95 %",
    "should be", "not blessed because of",
)  # fmt: skip


def _line(found: list[Judged]) -> tuple[str, ...]:
    """How far a rival is from its champion on average, and what became of it."""
    n, verdicts = len(found), Counter("FAIL" if one.verdict == "ERROR" else one.verdict for one in found)
    low, high = wilson_interval(verdicts["PASS"] + verdicts["SHADOW"], n)
    blamed = Counter(one.blame for one in found if one.blame)
    return (
        found[0].rival,
        found[0].policy,
        f"{np.mean([one.accuracy for one in found]):+.3f}",
        f"{np.mean([one.roc_auc for one in found]):+.3f}",
        *(f"{verdicts[verdict] / n:.3f}" for verdict in ("PASS", "SHADOW", "INCONCLUSIVE", "FAIL")),
        f"{low:.3f} to {high:.3f}",
        {True: "blessed", False: "refused", None: "either"}[found[0].wanted],
        ", ".join(f"{check} {count / n:.3f}" for check, count in blamed.most_common(3)),
    )


def run(
    data: str,
    resamples: int,
    *,
    first: int,
    seed: int,
    policies: tuple[str, ...],
    jobs: int,
    minutes: float,
    told: Callable[[str], object],
) -> list[Judged]:
    """Judge on so many splits, or on those that the time is enough for; no answer depends on the number of jobs."""
    judge = partial(judge_split, data, seed, policies)
    found: list[Judged] = []
    until = time.monotonic() + 60 * minutes
    with ProcessPoolExecutor(jobs, initializer=_use_one_core) as pool:
        for done, judged in enumerate(pool.map(judge, range(first, first + resamples)), start=1):
            found += judged
            if done % 10 == 0:
                told(f"{data}: {done} of {resamples} splits")
            if time.monotonic() > until:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    return found


def _use_one_core() -> None:
    """A process a core: trees that ask for all cores in each process wait for one another, ten times as long."""
    os.environ["OMP_NUM_THREADS"] = "1"


def main(arguments: list[str] | None = None) -> int:
    """Judge and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--resamples", type=int, default=1000)
    asked.add_argument("--data", choices=["telco", "synthetic"], action="append", help="repeatable; default: both")
    asked.add_argument("--policy", choices=SHIPPED, action="append", help="repeatable; default: both")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--first", type=int, default=0, help="number of the first split, to go on where a run ended")
    asked.add_argument("--jobs", type=int, default=1, help="processes")
    asked.add_argument(
        "--minutes", type=float, default=math.inf, help="for each data set; then it stops, and says what it has"
    )
    options = asked.parse_args(arguments)
    for data in options.data or ["telco", "synthetic"]:
        if data == "telco" and not TELCO.is_file():
            progress(f"{TELCO} is not there: not judged on it")
            continue
        began = time.monotonic()
        found = run(
            data,
            options.resamples,
            first=options.first,
            seed=options.seed,
            policies=tuple(options.policy or SHIPPED),
            jobs=options.jobs,
            minutes=options.minutes,
            told=progress,
        )
        minutes = (time.monotonic() - began) / 60
        splits = len({one.split for one in found})
        say(f"{data}: {splits:,} splits, seed {options.seed}, {minutes:.0f} min, {options.jobs} at a time\n")
        say(render(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
