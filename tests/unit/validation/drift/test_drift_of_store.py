"""Drift from the store: the bins of /metrics, each live row once, and nothing said where there is too little."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from drift_toys import CHALLENGER, CHAMPION, DAY, END, TODAY, log, model, prediction
from log_toys import land
from serving_toys import CONTRACT, REFERENCE

from grafana.drift import DEFAULT
from service.store import open_store
from validation.drift.comparing import Window
from validation.drift.counting import count_window, drift_of
from validation.drift.limits import LIMITS
from validation.statistics import jensen_shannon, kolmogorov_smirnov, psi, psi_limit, share_limit

N = 1000


@pytest.fixture
def store(tmp_path):
    found = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield found
    found.close()


def looked(store, *models, window=TODAY):
    with store.reading() as connection:
        found = drift_of(connection, models or (model(),), window)
    return found if len(found) > 1 else found[0]


def of(drift, name):
    return next(one for one in drift.features if one.name == name)


def test_customers_as_in_training_are_quiet(store, tmp_path):
    land(store, tmp_path, *log(N))
    found = looked(store)
    assert found.finding == "quiet"
    assert (found.rows, found.customers, found.repeats, found.unreadable) == (N, N, 1.0, 0)
    assert {one.finding for one in (*found.features, found.score)} == {"quiet"}
    assert found.mean is not None
    assert found.mean.low < 0 < found.mean.high


def test_every_number_is_that_of_its_formula(store, tmp_path):
    rows = log(N)
    land(store, tmp_path, *rows)
    found, level = looked(store), LIMITS.level(DAY.total_seconds())
    counts = [sum(row.features["tenure"] == value for row in rows) for value in (1, 10, 40)]
    tenure = of(found, "tenure")
    assert [one.rows for one in tenure.bins] == counts
    assert tenure.psi == psi((20, 50, 30), counts)
    assert tenure.js == jensen_shannon((20, 50, 30), counts)
    assert tenure.ks == kolmogorov_smirnov((20, 50, 30), counts)
    assert tenure.psi_limit == psi_limit(100, N, 3, level)
    assert sum(one.psi for one in tenure.bins) == pytest.approx(tenure.psi)
    charges = of(found, "charges")
    missing = sum(row.features["charges"] is None for row in rows)
    before, now = 10.5 / 101.5, (missing + 0.5) / (N + 1.5)
    assert charges.missing.ratio == missing / N
    assert charges.missing.rise == pytest.approx(now - before)
    assert charges.missing.limit == pytest.approx(share_limit(before, 100, now, N, level))
    mean = math.fsum(row.champion_probability for row in rows) / N
    assert found.mean.mean == pytest.approx(mean)
    assert found.mean.high - found.mean.shift == pytest.approx(share_limit(0.31, 100, mean, N, level))


@pytest.mark.parametrize(
    ("changed", "name", "finding"),
    [
        pytest.param({"tenure": 70}, "tenure", "drifted", id="everybody is old"),
        pytest.param({"charges": None}, "charges", "drifted", id="charges are missing"),
        pytest.param({"charges": 0.0}, "charges", "drifted", id="charges are zeros"),
    ],
)
def test_a_feature_that_moved_is_told_and_no_other(store, tmp_path, changed, name, finding):
    land(store, tmp_path, *(msgspec.structs.replace(row, features={**row.features, **changed}) for row in log(2 * N)))
    sharper = msgspec.structs.replace(
        REFERENCE,
        features=tuple(
            msgspec.structs.replace(one, counts=tuple(100 * n for n in one.counts)) for one in REFERENCE.features
        ),
    )
    found = looked(store, model(reference=sharper))
    assert found.finding == finding
    assert found.features[0].name == name
    assert [one.name for one in found.features if one.finding == "drifted"] == [name]
    assert of(found, "charges").missing.finding == ("drifted" if changed.get("charges", 0) is None else "quiet")


def test_fewer_than_200_rows_are_unknown_and_not_quiet(store, tmp_path):
    land(store, tmp_path, *(msgspec.structs.replace(row, features={**row.features, "tenure": 70}) for row in log(199)))
    found = looked(store)
    assert found.finding == "unknown"
    assert {one.finding for one in (*found.features, found.score)} == {"unknown"}
    assert of(found, "tenure").psi is None
    assert found.mean is None


def test_without_rows_nothing_is_known(store):
    found = looked(store)
    assert (found.finding, found.rows, found.positive_ratio) == ("unknown", 0, None)


def test_only_live_rows_of_the_window_count(store, tmp_path):
    outside = [prediction(-1, {**log(1)[0].features}), prediction(86_400, {**log(1)[0].features})]
    apart = [msgspec.structs.replace(row, purpose="test") for row in log(3)]
    other = [msgspec.structs.replace(row, experiment="earlier") for row in log(20)[10:]]
    land(store, tmp_path, *outside, *apart, *other)
    assert looked(store).rows == 10


def test_rows_of_another_contract_are_counted_apart(store, tmp_path):
    odd = [
        msgspec.structs.replace(row, features={"tenure": 1}) if i % 10 == 0 else row for i, row in enumerate(log(500))
    ]
    land(store, tmp_path, *odd)
    found = looked(store)
    assert (found.rows, found.unreadable) == (450, 50)


def test_customers_who_come_back_widen_every_limit(store, tmp_path):
    land(store, tmp_path, *(msgspec.structs.replace(row, customer_id=f"c{i % 250}") for i, row in enumerate(log(N))))
    found = looked(store)
    assert (found.customers, found.repeats) == (250, 4.0)
    assert of(found, "tenure").psi_limit == psi_limit(100, N, 3, LIMITS.level(DAY.total_seconds()), repeats=4.0)


def test_fewer_than_200_customers_worth_of_rows_are_unknown_however_many_rows_they_are(store, tmp_path):
    land(store, tmp_path, *(msgspec.structs.replace(row, customer_id=f"c{i % 199}") for i, row in enumerate(log(N))))
    found = looked(store)
    assert found.repeats > 5
    assert (found.finding, found.mean, of(found, "tenure").psi) == ("unknown", None, None)


def test_rows_that_name_nobody_count_as_a_customer_each(store, tmp_path):
    land(store, tmp_path, *log(300, customer_id=None))
    found = looked(store)
    assert (found.rows, found.customers, found.repeats) == (300, 0, 1.0)


def test_each_model_is_looked_at_with_its_own_scores_and_the_same_rows(store, tmp_path):
    rows = [
        msgspec.structs.replace(row, challenger_probability=0.95, challenger_positive=True, variant="challenger")
        for row in log(N)
    ]
    land(store, tmp_path, *rows)
    one, other = looked(store, model(), model("toy:2", CHALLENGER))
    assert one.score.finding == "quiet"
    assert other.score.finding == "drifted"
    assert other.mean.finding == "drifted"
    assert (one.positive_ratio, other.positive_ratio) == (None, 1.0)
    assert [feature.psi for feature in one.features] == [feature.psi for feature in other.features]


def test_a_model_that_an_older_gauntlet_trained_has_no_mean_to_be_compared_with(store, tmp_path):
    land(store, tmp_path, *log(N))
    older = msgspec.structs.replace(REFERENCE, score=msgspec.structs.replace(REFERENCE.score, mean=None))
    assert looked(store, model(reference=older)).mean is None


def test_a_feature_with_one_bin_is_unknown(store, tmp_path):
    land(store, tmp_path, *log(N))
    one_bin = msgspec.structs.replace(REFERENCE.features[0], edges=(), bins=("all",), counts=(100,))
    reference = msgspec.structs.replace(REFERENCE, features=(one_bin, *REFERENCE.features[1:]))
    assert of(looked(store, model(reference=reference)), "tenure").finding == "unknown"


def test_rows_are_counted_as_metrics_count_them(store, tmp_path):
    """The same rows through the counters of a worker and through the store."""
    from bentos.artifact import Encoder
    from service.counters.features import FeatureGrid
    from service.counters.rows import RowCounter

    rows = log(N)
    land(store, tmp_path, *rows)
    grid = FeatureGrid("features", CONTRACT, (("toy:1", REFERENCE),))
    slots = memoryview(bytearray(8 * grid.size)).cast("d")
    counter = RowCounter(grid, slots)
    for row in rows:
        counter.count(Encoder(CONTRACT).encode_row(row.features))
    counter.settle()
    with store.reading() as connection:
        (found,) = count_window(connection, (model(),), TODAY)
    assert found.features == {one.name: tuple(grid.bins(one, slots.tolist()).values()) for one in REFERENCE.features}


def test_the_limits_are_those_of_the_committed_rules():
    assert (LIMITS.rows, LIMITS.psi_size, LIMITS.mean_size) == (DEFAULT.rows, DEFAULT.psi_size, DEFAULT.mean_size)
    assert (LIMITS.missing_size, LIMITS.unseen_size) == (DEFAULT.missing_size, DEFAULT.unseen_size)
    for window in DEFAULT.windows:
        assert LIMITS.level(window.seconds) == pytest.approx(DEFAULT.level(window))


def test_a_window_of_many_rows_gives_the_same_however_it_is_cut_into_parts(store, tmp_path, monkeypatch):
    land(store, tmp_path, *log(N))
    whole = looked(store)
    monkeypatch.setattr("validation.drift.counting._ROWS_AT_A_TIME", 7)
    parts = looked(store)
    assert [one.psi for one in parts.features] == [one.psi for one in whole.features]
    assert parts.mean.mean == pytest.approx(whole.mean.mean)
    assert np.isclose(parts.repeats, whole.repeats)


def test_a_longer_window_holds_the_shorter_ones_rows(store, tmp_path):
    land(store, tmp_path, *log(N))
    longer = Window(since=END - 7 * DAY, until=END)
    assert looked(store, window=longer).rows == N
    assert looked(store).digest == CHAMPION
