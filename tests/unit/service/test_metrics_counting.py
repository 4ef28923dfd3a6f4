"""What scoring counts, and the sum of what all workers counted."""

import math
import random
import shutil
import struct
from contextlib import ExitStack

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_app import served
from serving_toys import CONTRACT, FEATURES, REFERENCE

from service import metric_names as names
from service.counters.scoring import CountedModel, scoring_layout
from service.metrics import MANY, series_bound
from service.prediction_log.records import Prediction
from service.scoring.experiment import Further, read_experiment, write_experiment

RECORD = {
    "prediction_id": "p", "at": 0, "customer_id": "c", "purpose": "live", "experiment": "e", "revision": 1,
    "mode": "shadow", "split": 0.0, "variant": "champion", "champion_positive": None, "challenger_positive": None,
    "features": {},
}  # fmt: skip


@pytest.fixture
def app(tmp_path):
    with served(tmp_path, mode="shadow") as found:
        yield found


def exposition(app):
    return app.application._metrics.exposition().decode()


def samples(app):
    """Every sample of /metrics as {(name, labels): value}."""
    families = text_string_to_metric_families(exposition(app))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(app, name, **labels):
    return samples(app)[name, tuple(sorted(labels.items()))]


def score(app, **request):
    features = {**FEATURES, **request.pop("features", {})}
    response = app.post("/v1/score", {"features": features, "customer_id": "somebody", **request})
    assert response.status_code == 200, response.text


def test_training_is_shown_beside_what_came(app):
    assert value(app, names.FEATURE_REFERENCE, model="toy:2", feature="charges", bin="missing") == 10
    assert value(app, names.SCORE_REFERENCE, model="toy:1", bin="below 0.3", order="0") == 60
    assert value(app, names.SCORE_REFERENCE_MEAN, model="toy:1") == 0.31


def test_bins_that_have_an_order_say_their_place_and_no_other_does(app):
    places = {
        (labels["feature"], labels["bin"]): labels.get("order")
        for (name, pairs) in samples(app)
        if name == names.FEATURE_REFERENCE and (labels := dict(pairs))["model"] == "toy:1"
    }
    assert [places["tenure", name] for name in ("below 2", "2 to 24", "24 and above")] == ["0", "1", "2"]
    assert places["charges", "missing"] is None
    assert {place for (feature, _), place in places.items() if feature in ("contract", "senior")} == {None}


def test_live_rows_are_counted_by_the_bits_of_whom_they_name_and_nobody_else(app):
    for customer in ("somebody", "somebody", None):
        score(app, customer_id=customer)
    score(app, purpose="test")
    bits = [rows for (name, _), rows in samples(app).items() if name == names.CUSTOMER_BITS]
    assert value(app, names.CUSTOMER_ROWS) == 2
    assert len(bits) == 128
    assert set(bits) == {0, 2}


def test_the_positive_label_is_said_of_each_model(app):
    positive = {dict(labels)["positive"] for name, labels in samples(app) if name == names.MODEL_INFO}
    assert positive == {"Yes"}


def test_everyone_who_is_on_trial_is_told_by_role_and_version(tmp_path):
    with served(tmp_path, mode="shadow", probabilities=(0.3, 0.5, 0.7)) as app:
        first = read_experiment(app.folder / "experiment.yaml")
        several = msgspec.structs.replace(first, revision=2, further=(Further(challenger=app.digests[2]),))
        write_experiment(app.folder / "experiment.yaml", several)
        app.application.watch.poll()
        told = [dict(labels) for name, labels in samples(app) if name == names.MODEL_INFO]
    assert {(one["role"], one["model"]) for one in told} == {
        ("champion", "toy:1"), ("challenger", "toy:2"), ("challenger", "toy:3")
    }  # fmt: skip


def test_a_live_row_is_counted_in_its_bins_for_every_model(app):
    score(app)
    score(app, features={"charges": None, "tenure": 24})
    for model in ("toy:1", "toy:2"):
        assert value(app, names.FEATURE_BINS, model=model, feature="tenure", bin="2 to 24") == 1
        assert value(app, names.FEATURE_BINS, model=model, feature="tenure", bin="24 and above") == 1
        assert value(app, names.FEATURE_BINS, model=model, feature="charges", bin="70.5 and above") == 1
        assert value(app, names.FEATURE_BINS, model=model, feature="charges", bin="missing") == 1
        assert value(app, names.FEATURE_BINS, model=model, feature="contract", bin="One year") == 2
    assert value(app, names.FEATURE_SUM, feature="tenure") == 27


def test_the_latency_of_each_model_is_measured_by_itself(app):
    score(app)
    _, challenger = app.application.models.by_digest.values()
    before = value(app, f"{names.MODEL_SECONDS}_sum", model="toy:1")
    app.application._metrics.count_call(challenger, 32, 5.0)
    assert [value(app, f"{names.MODEL_SECONDS}_count", model=f"toy:{n}") for n in (1, 2)] == [1, 2]
    assert [value(app, names.MODEL_ROWS, model=f"toy:{n}") for n in (1, 2)] == [1, 33]
    assert value(app, f"{names.MODEL_SECONDS}_sum", model="toy:1") == before < 1
    assert value(app, f"{names.MODEL_SECONDS}_sum", model="toy:2") > 5


def test_each_model_has_its_own_probabilities_whoever_answered(app):
    score(app)
    assert value(app, names.SCORE_BINS, model="toy:1", bin="0.3 to 0.6") == 1  # 0.3 as float32 is above the edge 0.3
    assert value(app, names.SCORE_BINS, model="toy:2", bin="0.6 and above") == 1
    shadow = {"variant": "challenger", "model": "toy:2"}
    assert value(app, f"{names.PROBABILITY}_count", **shadow) == 1
    assert value(app, f"{names.PROBABILITY}_sum", **shadow) == pytest.approx(0.7)
    assert value(app, f"{names.PROBABILITY}_bucket", **shadow, le="0.65") == 0
    assert value(app, f"{names.PROBABILITY}_bucket", **shadow, le="0.75") == 1
    for variant, counts in (("champion", [1, 0]), ("challenger", [0, 1])):
        found = [value(app, f"{names.PROBABILITY}_count", variant=variant, model=f"toy:{n}") for n in (1, 2)]
        assert found == counts


def test_a_live_answer_is_counted_in_the_risk_band_of_the_model_that_gave_it(tmp_path):
    with served(tmp_path, mode="split", split=1.0) as app:
        score(app)
        score(app, purpose="test")
        assert value(app, names.RISKS, variant="challenger", model="toy:2", risk="high") == 1
        assert value(app, names.RISKS, variant="challenger", model="toy:2", risk="low") == 0
        assert value(app, names.RISKS, variant="champion", model="toy:1", risk="low") == 0


def test_what_an_answer_means_is_exported_with_it(app):
    assert value(app, names.DECISION_CUT, model="toy:2") == CONTRACT.cut
    assert value(app, names.RISK_BAND, model="toy:1", risk="high") == 0.6
    assert value(app, names.KEYS_VALID) == 1


@pytest.mark.parametrize("purpose", ["what_if", "test"])
def test_what_is_not_live_is_a_prediction_and_no_drift(app, purpose):
    before = samples(app)
    score(app, purpose=purpose)
    after = samples(app)
    changed = {name for (name, labels), number in after.items() if number != before.get((name, labels), 0)}
    drift = {names.FEATURE_BINS, names.FEATURE_SUM, names.SCORE_BINS, f"{names.PROBABILITY}_count", names.RISKS}
    assert names.PREDICTIONS in changed
    assert not changed & drift
    labels = {"variant": "champion", "model": "toy:1", "label": "No", "purpose": purpose}
    assert value(app, names.PREDICTIONS, **labels) == 1


def test_a_restart_goes_on_with_the_sums(tmp_path):
    for _ in range(2):
        with served(tmp_path / "one", mode="shadow") as app:
            score(app)
            counted = value(app, names.PREDICTIONS, variant="champion", model="toy:1", label="No", purpose="live")
            bins = value(app, names.FEATURE_BINS, model="toy:1", feature="senior", bin="0")
        _forget_bento(tmp_path / "one")
    assert (counted, bins) == (2, 2)


def _forget_bento(folder):
    import shutil

    shutil.rmtree(folder / "bento")


def test_whichever_worker_answers_shows_the_sum_of_all(tmp_path):
    counters = tmp_path / "counters"
    with (
        served(tmp_path / "a", counters_folder=counters) as first,
        served(tmp_path / "b", counters_folder=counters) as second,
    ):
        score(first)
        score(first)
        score(second)
        labels = {"variant": "champion", "model": "toy:1", "label": "No", "purpose": "live"}
        assert [value(app, names.PREDICTIONS, **labels) for app in (first, second)] == [3, 3]
        assert value(first, names.WORKERS) == 2


def test_whichever_worker_answers_adds_up_in_the_same_order(tmp_path):
    """Else a sum of seconds falls by its last digit when another answers, which Prometheus takes for a restart."""
    with ExitStack() as stack:
        workers = [stack.enter_context(served(tmp_path / n, counters_folder=tmp_path / "counters")) for n in "abc"]
        for worker, seconds in zip(workers, (0.1, 0.2, 0.3), strict=True):
            worker.application._metrics.count_request("/v1/score", "POST", 200, seconds)
        sums = [value(worker, f"{names.REQUEST_SECONDS}_sum", route="/v1/score") for worker in workers]
    assert (0.1 + 0.2) + 0.3 != (0.2 + 0.3) + 0.1
    assert len(set(sums)) == 1


def test_ready_is_that_of_the_worst_worker(tmp_path):
    counters = tmp_path / "counters"
    with (
        served(tmp_path / "a", counters_folder=counters) as first,
        served(tmp_path / "b", counters_folder=counters) as second,
    ):
        exposition(second)
        assert value(first, names.READY) == value(first, names.EXPERIMENT_FILE_VALID) == 1
        (tmp_path / "b" / "experiment.yaml").write_text("nonsense")
        second.application.watch.poll()
        exposition(second)
        assert value(first, names.EXPERIMENT_FILE_VALID) == 0


def test_nothing_that_is_asked_makes_more_series_than_the_bound(app):
    rng = random.Random(3)
    metrics = app.application._metrics
    for n in range(3000):
        route = rng.choice(["/v1/score", "/metrics", f"/{n}", "unmatched", ""])
        metrics.count_request(route, rng.choice(["GET", "POST", "BREW", f"M{n}"]), rng.randint(100, 999), rng.random())
    for _ in range(3):
        score(app)
    lines = [line for line in exposition(app).splitlines() if not line.startswith("#")]
    assert len(lines) <= series_bound(metrics.layout, models=2, workers=1)
    assert {
        line.split('route="')[1].split('"')[0] for line in lines if 'route="/' in line
    } <= app.application.http.paths | app.application.admin.paths


def test_no_series_is_exported_twice(app):
    score(app)
    starts = [line.rpartition(" ")[0] for line in exposition(app).splitlines() if not line.startswith("#")]
    assert len(starts) == len(set(starts))


def test_the_layout_is_another_where_a_bin_is_and_the_same_in_any_order():
    import msgspec

    models = [CountedModel(f"toy:{n}", f"sha256:{n}", REFERENCE) for n in (1, 2)]
    first = scoring_layout(CONTRACT, models, ["/a", "/b"]).layout
    assert scoring_layout(CONTRACT, models[::-1], ["/b", "/a"]).layout.digest == first.digest
    moved = msgspec.structs.replace(REFERENCE.score, edges=(0.31, 0.6))
    other = CountedModel("toy:1", "sha256:1", msgspec.structs.replace(REFERENCE, score=moved))
    assert scoring_layout(CONTRACT, [other, models[1]], ["/a", "/b"]).layout.digest != first.digest


def test_a_counter_that_was_not_laid_out_is_refused(app):
    with pytest.raises(KeyError):
        app.application._metrics.count("gauntlet_new_total")


def test_label_values_are_escaped(tmp_path):
    from service.counters.text import start_of

    assert start_of("x", {"a": 'one "two"\\\n'}) == 'x{a="one \\"two\\"\\\\\\n"} '


def test_many_probabilities_at_once_fall_where_each_alone_does(app):
    """Edges of the reference and of the histogram's buckets among them, and what is just beside those."""
    at = [0.0, 0.05, 0.3, 0.6, 0.75, 1.0]
    beside = [math.nextafter(edge, toward) for edge in at for toward in (0.0, 1.0)]
    champion, challenger = app.digests
    records = [
        Prediction(
            **{**RECORD, "champion": champion, "challenger": challenger},
            champion_probability=probability,
            challenger_probability=None if number % 3 else 1 - probability,
        )
        for number, probability in enumerate([*at, *beside])
    ]
    metrics = app.application._metrics
    before = metrics.slots.tolist()
    for record in records:
        metrics._count_probabilities(record)
    one_by_one = metrics.slots.tolist()
    metrics._count_many_probabilities(records)
    together = metrics.slots.tolist()
    assert len(records) >= MANY
    assert [b - a for a, b in zip(before, one_by_one, strict=True)] == pytest.approx(
        [b - a for a, b in zip(one_by_one, together, strict=True)]
    )


def beat(app):
    app.application._metrics.beat()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_nonsense_in_a_slot_is_0_from_the_next_heartbeat_on(app, caplog, number):
    score(app)
    metrics = app.application._metrics
    expected = exposition(app)
    is_count = metrics._bounds._is_sum & (metrics._bounds._least == 0)  # a sum of a column may be below 0
    for slot in is_count.nonzero()[0].tolist():
        if metrics.slots[slot] == 0:
            metrics.slots[slot] = number
    beat(app)
    assert [record.message for record in caplog.records] == ["counts_mended"]
    assert _without_times(exposition(app)) == _without_times(expected)
    metrics.outcomes += 1
    assert value(app, names.OUTCOMES) == 1


def _without_times(text):
    return [line for line in text.splitlines() if not line.startswith("process_")]


@pytest.mark.parametrize("number", [math.nan, math.inf, -5.0, 1e300])
def test_a_worker_that_starts_on_nonsense_counts_on_from_0_where_it_is(tmp_path, number):
    with served(tmp_path / "one", mode="shadow") as app:
        score(app)
        score(app)
        (path,) = (tmp_path / "one").glob("**/*.counts")
        waiting = 128 + 8 * (app.application._metrics._start + 1)
        outcomes = 128 + 8 * app.application._metrics.places.others[names.OUTCOMES, ()]
    _forget_bento(tmp_path / "one")
    for byte in (waiting, outcomes):
        _put(path, byte, number)
    with served(tmp_path / "one", mode="shadow") as app:
        labels = {"variant": "champion", "model": "toy:1", "label": "No", "purpose": "live"}
        assert value(app, names.PREDICTIONS, **labels) == 2
        assert value(app, names.OUTCOMES) == 0


def _put(path, byte, number):
    with path.open("r+b") as file:
        file.seek(byte)
        file.write(struct.pack("d", number))


@pytest.mark.parametrize("number", [math.nan, math.inf, -5.0, 1e300])
def test_nonsense_in_a_dead_worker_s_file_is_in_no_sum_and_told_of_once(tmp_path, caplog, number):
    counters = tmp_path / "counters"
    with served(tmp_path / "a", counters_folder=counters) as first:
        with served(tmp_path / "b", counters_folder=counters) as second:
            score(first)
            score(second)
        metrics = first.application._metrics
        slots = [metrics.places.others[names.OUTCOMES, ()], *range(metrics._start, metrics._start + 3)]
        for slot in slots:
            _put(counters / "toy-2.counts", 128 + 8 * slot, number)
        labels = {"variant": "champion", "model": "toy:1", "label": "No", "purpose": "live"}
        for _ in range(2):
            assert value(first, names.PREDICTIONS, **labels) == 2
            assert value(first, names.OUTCOMES) == 0
        assert all(math.isfinite(number) for number in samples(first).values())
        told = [record.file for record in caplog.records if record.message == "counts_damaged"]
        assert told == [str(counters / "toy-2.counts")]


def test_rows_that_wait_and_are_nonsense_are_in_no_sum(app):
    score(app)
    metrics = app.application._metrics
    features = metrics._features
    rows = metrics._rows._waiting_rows
    rows[0] = math.nan
    assert all(math.isfinite(number) for number in samples(app).values())
    metrics._rows.settle()
    beat(app)
    assert all(map(math.isfinite, metrics.slots[metrics._start : metrics._start + features.waiting]))


def test_a_deleted_folder_of_counts_is_back_with_all_sums_at_the_next_heartbeat(tmp_path, caplog):
    counters = tmp_path / "counters"
    with (
        served(tmp_path / "a", counters_folder=counters) as first,
        served(tmp_path / "b", counters_folder=counters) as second,
    ):
        first.application._metrics.count(names.WORKER_DEATHS, n=2)
        score(first)
        score(second)
        shutil.rmtree(counters)
        for app in (first, second):
            beat(app)
        score(second)
        labels = {"variant": "champion", "model": "toy:1", "label": "No", "purpose": "live"}
        for app in (first, second):
            assert value(app, names.PREDICTIONS, **labels) == 3
            assert value(app, names.WORKERS) == 2
            assert value(app, names.WORKER_DEATHS) == 2
            assert value(app, names.FEATURE_BINS, model="toy:1", feature="senior", bin="0") == 3
        assert [record.message for record in caplog.records if record.name == "gauntlet.metrics"] == 2 * [
            "counts_removed"
        ]
