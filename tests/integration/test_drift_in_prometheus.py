"""Prometheus's rules and `gauntlet drift` say the same of the same rows, to a billionth: two programs, one formula."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from drift_toys import END, log, model
from log_toys import land
from serving_toys import CONTRACT, REFERENCE

from bentos.artifact import Binned, Encoder
from grafana.drift import DEFAULT
from service import metric_names as names
from service.counters.customers import CustomerCounter
from service.counters.features import FeatureGrid
from service.counters.rows import RowCounter
from service.counters.scores import ScoreGrid
from service.micros import to_micros
from service.prediction_log.records import Prediction
from service.store import open_store
from validation.drift.comparing import ModelDrift
from validation.drift.counting import drift_of, window_ending
from validation.drift.limits import LIMITS
from validation.statistics import psi_limit, share_limit

PROMTOOL = shutil.which("promtool")
RULES = Path(__file__).parents[2] / "grafana" / "rules" / "drift.yaml"
STEP_SECONDS = 1800
STEPS = 48
MODEL = {"namespace": "n", "model": "toy:1"}

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(PROMTOOL is None, reason="promtool, which evaluates rules, is not on PATH"),
]


@pytest.fixture(scope="module")
def rows() -> list[Prediction]:
    """A day of customers, some of whom come back, one every ten seconds."""
    start = to_micros(END) - STEPS * STEP_SECONDS * 1_000_000
    found = []
    for i, row in enumerate(log(STEPS * STEP_SECONDS // 10)):
        fields = {name: getattr(row, name) for name in Prediction.__struct_fields__ if name != "v"}
        at = start + 10_000_000 * i + 5_000_000
        found.append(Prediction(**{**fields, "at": at, "customer_id": f"c{i % 1700}"}))
    return found


def test_the_rules_and_the_store_agree(rows: list[Prediction], tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    land(store, tmp_path, *rows)
    expected: dict[str, float] = {}
    with store.reading() as connection:
        for window in DEFAULT.windows[:2]:
            (found,) = drift_of(connection, (model(),), window_ending(END, window.seconds))
            since = to_micros(END) - window.seconds * 1_000_000
            repeats = estimated_repeats([row for row in rows if row.at >= since])
            expected |= dict(numbers_of(found, window.name, window.seconds, repeats))
    store.close()
    assert len(expected) > 60
    cases = [
        {"expr": f"abs({series} - {value!r}) <= bool 1e-9", "eval_time": "24h", "exp_samples": [sample(series, 1)]}
        for series, value in expected.items()
    ]
    test = {"interval": f"{STEP_SECONDS}s", "input_series": list(input_series(rows)), "promql_expr_test": cases}
    file = tmp_path / "test.yaml"
    content = {"rule_files": [str(RULES)], "evaluation_interval": f"{STEP_SECONDS}s", "tests": [test]}
    file.write_text(yaml.safe_dump(content))
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def sample(series: str, value: float) -> dict[str, object]:
    labels = dict(MODEL)
    for name in ("feature", "bin"):
        if f'{name}="' in series:
            labels[name] = series.split(f'{name}="')[1].split('"')[0]
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return {"labels": f"{{{inside}}}", "value": value}


def numbers_of(found: ModelDrift, window: str, seconds: int, repeats: float) -> Iterator[tuple[str, float]]:
    """What `gauntlet drift` says, by the series that must say the same."""
    level = LIMITS.level(seconds)
    for one in (*found.features, found.score):
        kind, own = ("score", "") if one is found.score else ("feature", f'{{feature="{one.name}"}}')
        yield f"gauntlet:{kind}:n{window}{own}", one.n
        for what in ("psi", "js", "ks"):
            if getattr(one, what) is not None:
                yield f"gauntlet:{kind}:{what}{window}{own}", getattr(one, what)
        m = REFERENCE.n
        limit = psi_limit(m, one.n, len(one.bins), level, repeats=repeats, estimated_from=names.HASH_BITS)
        yield f"gauntlet:{kind}:psi_limit{window}{own}", max(LIMITS.psi_size, limit)
        for name, rise in (("missing", one.missing), ("unseen", one.unseen)):
            if rise is not None:
                yield f"gauntlet:feature:{name}_ratio{window}{own}", rise.ratio
                yield f"gauntlet:feature:{name}_rise{window}{own}", rise.rise
    tenure = next(one for one in found.features if one.name == "tenure")
    for bin_ in tenure.bins:
        yield f'gauntlet:feature_bin:share{window}{{feature="tenure",bin="{bin_.name}"}}', bin_.share
    mean = found.mean
    assert mean is not None
    yield f"gauntlet:score:mean{window}", mean.mean
    yield f"gauntlet:score:mean_shift{window}", mean.shift
    half = share_limit(
        mean.reference, REFERENCE.n, mean.mean, found.score.n, level, repeats=repeats, estimated_from=names.HASH_BITS
    )
    yield f"gauntlet:score:mean_shift_low{window}", mean.shift - half
    yield f"gauntlet:score:mean_shift_high{window}", mean.shift + half
    if found.positive_ratio is not None:
        yield f"gauntlet:predictions:positive_ratio{window}", found.positive_ratio


def estimated_repeats(rows: list[Prediction]) -> float:
    slots = counted_customers(rows)
    return max(float(np.mean((2 * slots[1:] - slots[0]) ** 2) / slots[0]), 1.0)


def counted_customers(rows: list[Prediction]) -> np.ndarray:
    slots = memoryview(bytearray(8 * (1 + names.HASH_BITS))).cast("d")
    counter = CustomerCounter(slots)
    counter.count([str(row.customer_id) for row in rows])
    counter.settle()
    return np.array(slots)


def input_series(rows: list[Prediction]) -> Iterator[dict[str, str]]:
    """What a pod that began with the day would have exported every half hour, by the code that counts while scoring."""
    steps = [cumulative(rows, step) for step in range(STEPS + 1)]
    for key in steps[0]:
        yield {"series": key, "values": " ".join(repr(step[key]) for step in steps)}
    for binned in (*REFERENCE.features, REFERENCE.score):
        metric = names.SCORE_REFERENCE if binned is REFERENCE.score else names.FEATURE_REFERENCE
        for name, count in zip(binned.bins, binned.counts, strict=True):
            order = {"order": str(binned.ordered.index(name))} if name in binned.ordered else {}
            yield constant(metric, {**bin_labels(binned, name), **order}, count)
    mean = REFERENCE.score.mean
    assert mean is not None
    yield constant(names.SCORE_REFERENCE_MEAN, {"model": "toy:1"}, mean)
    yield constant(names.MODEL_INFO, {"model": "toy:1", "role": "champion", "positive": CONTRACT.labels.positive}, 1)


def constant(metric: str, labels: dict[str, str], value: float) -> dict[str, str]:
    return {"series": series_of(metric, labels), "values": f"{value!r}+0x{STEPS}"}


def cumulative(rows: list[Prediction], step: int) -> dict[str, float]:
    """Every counter after so many steps."""
    until = to_micros(END) - (STEPS - step) * STEP_SECONDS * 1_000_000
    came = [row for row in rows if row.at < until]
    grid = FeatureGrid("features", CONTRACT, (("toy:1", REFERENCE),))
    slots = memoryview(bytearray(8 * grid.size)).cast("d")
    counter, encoder = RowCounter(grid, slots), Encoder(CONTRACT)
    for row in came:
        counter.count(encoder.encode_row(row.features))
    counter.settle()
    found = {
        series_of(names.FEATURE_BINS, bin_labels(binned, name)): count
        for binned in REFERENCE.features
        for name, count in grid.bins(binned, slots.tolist()).items()
    }
    found |= scores_of(came)
    customers = counted_customers(came)
    found[series_of(names.CUSTOMER_ROWS, {})] = float(customers[0])
    bits = enumerate(customers[1:].tolist())
    return found | {series_of(names.CUSTOMER_BITS, {"bit": str(bit)}): rows_with for bit, rows_with in bits}


def scores_of(rows: list[Prediction]) -> dict[str, float]:
    scores = ScoreGrid("scores", "toy:1", REFERENCE.score)
    cells = [0.0] * scores.size
    for row in rows:
        assert row.champion_probability is not None
        cells[scores.start("champion") + scores.cell(row.champion_probability)] += 1
        cells[scores.total_at("champion")] += row.champion_probability
    found = {
        series_of(names.SCORE_BINS, bin_labels(REFERENCE.score, name)): count
        for name, count in zip(REFERENCE.score.bins, scores.bins(cells), strict=True)
    }
    for variant in scores.variants:
        labels = {"variant": variant, "model": "toy:1"}
        found[series_of(f"{names.PROBABILITY}_sum", labels)] = scores.total(cells, variant)
    for label, is_positive in ((CONTRACT.labels.positive, True), (CONTRACT.labels.negative, False)):
        answered = sum(row.champion_positive is is_positive for row in rows)
        labels = {"variant": "champion", "model": "toy:1", "label": label, "purpose": "live"}
        found[series_of(names.PREDICTIONS, labels)] = float(answered)
    return found


def bin_labels(binned: Binned, name: str) -> dict[str, str]:
    feature = {} if binned is REFERENCE.score else {"feature": binned.name}
    return {"model": "toy:1", **feature, "bin": name}


def series_of(metric: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{text}"' for key, text in {"namespace": "n", "pod": "a", **labels}.items())
    return f"{metric}{{{inside}}}"
