"""Exemplars: what OpenMetrics says beside the classic text, of which requests, and that nothing else gets in."""

import shutil
import time
from dataclasses import replace
from uuid import UUID

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_classic
from serving_app import served
from serving_toys import FEATURES

from service import metric_names as names
from service.counters.exemplars import TOLD_SECONDS, Exemplar, ExemplarGrid, ExemplarKeeper, newest
from service.http.accepting import Form, asks_for

BUCKET = f"{names.REQUEST_SECONDS}_bucket"
OPEN = "application/openmetrics-text; version=1.0.0"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.7,application/openmetrics-text;version=0.0.1"
    ";q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3"
)
"""Prometheus 3.16's, as it came with a scrape of the program."""

IDS = [f"0190163d-8694-739b-aea5-966c26f8ad9{n}" for n in range(10)]


@pytest.fixture
def app(tmp_path):
    with served(tmp_path, mode="shadow") as found:
        yield found


def score(app, **request):
    response = app.post("/v1/score", {"features": FEATURES, "customer_id": "somebody", **request})
    assert response.status_code == 200, response.text
    return response.json()["prediction_id"]


def scraped(app, accept=OPEN):
    headers = {} if accept is None else {"accept": accept}
    admin = app.application.admin
    return app.loop.run_until_complete(app._request("GET", "/metrics", application=admin, headers=headers))


def told(app):
    """The exemplars of an exposition: of each bucket that has one its route, upper edge and exemplar."""
    families = read_open(scraped(app).text)
    samples = [sample for family in families for sample in family.samples if sample.exemplar is not None]
    assert {sample.name for sample in samples} <= {BUCKET}
    return {(one.labels["route"], one.labels["le"]): one.exemplar for one in samples}


def count(app, seconds, prediction_id, route="/v1/score"):
    app.application._metrics.count_request(route, "POST", 200, seconds, prediction_id)


def test_a_prediction_is_the_exemplar_of_the_bucket_that_its_request_fell_into(app):
    before = time.time()
    prediction_id = score(app)
    ((route, edge), exemplar) = next(iter(told(app).items()))
    assert route == "/v1/score"
    assert exemplar.labels == {"prediction_id": prediction_id}
    assert 0 < exemplar.value <= float(edge)
    assert before - 0.001 <= float(exemplar.timestamp) <= time.time()
    assert [one.prediction_id for one in app.records()] == [prediction_id]


def test_each_bucket_has_its_own_and_none_is_outside_its_bucket(app):
    for prediction_id, seconds in zip(IDS, (0.0003, 0.04, 0.05, 9.0), strict=False):
        count(app, seconds, prediction_id)
    found = told(app)
    assert {edge: one.labels["prediction_id"] for (_, edge), one in found.items()} == {
        "0.0005": IDS[0], "0.05": IDS[1], "+Inf": IDS[3],
    }  # fmt: skip
    assert [one.value for one in found.values()] == [0.0003, 0.04, 9.0]


def test_both_forms_hold_the_same_samples_under_the_same_names(app):
    score(app)
    app.application._metrics.count("gauntlet_outcomes_total")

    def samples(families):
        found = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}
        return {key: value for key, value in found.items() if not key[0].startswith("process_")}

    opened, classic = samples(read_open(scraped(app).text)), samples(read_classic(scraped(app, None).text))
    changed = {key for key in opened.keys() & classic.keys() if opened[key] != classic[key]}
    assert {dict(labels)["route"] for _, labels in changed} <= {"/metrics"}  # the scrapes themselves are counted
    assert {dict(labels)["route"] for _, labels in opened.keys() ^ classic.keys()} <= {"/metrics"}


def test_counters_are_named_and_the_end_is_said_by_the_rules_of_openmetrics(app):
    found = scraped(app)
    assert found.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert found.text.endswith("\n# EOF\n")
    kinds = {family.name: family.type for family in read_open(found.text)}
    assert kinds["gauntlet_predictions"] == "counter"
    assert kinds[names.REQUEST_SECONDS] == "histogram"
    assert kinds[names.READY] == "gauge"
    assert not [name for name in kinds if name.endswith("_total")]


@pytest.mark.parametrize(
    "accept", [None, "*/*", "text/plain", "application/openmetrics-text;version=0.0.1", "nonsense"]
)
def test_who_does_not_ask_for_openmetrics_gets_the_classic_text_as_it_always_was(app, accept):
    score(app)
    found = scraped(app, accept)
    assert found.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "prediction_id" not in found.text
    assert "# EOF" not in found.text
    assert f"# TYPE {names.PREDICTIONS} counter\n" in found.text


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ('Application/OpenMetrics-Text; version="1.0.0"', True),
        (f"{OPEN};q=0.5, text/plain;q=0.5", True),
        (f"{OPEN};q=0.5, */*;q=0.1", True),
        (f"{OPEN};q=0.5, text/plain;version=0.0.4;q=0.7", False),
        (f"{OPEN};q=0.5, text/*", False),
        (f"{OPEN};q=0", False),
        (f"{OPEN};q=nan", False),
        (f"{OPEN};q=much", False),
        ("application/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        (";;,,=;q", False),
        ("", False),
        ("\xff\x00", False),
    ],
)
def test_openmetrics_is_answered_where_it_is_asked_for_at_least_as_much(accept, is_open):
    form, classic = Form("application/openmetrics-text", "1.0.0"), Form("text/plain", "0.0.4")
    assert asks_for(accept.encode("latin-1"), form, over=classic) is is_open


def test_a_bucket_keeps_the_first_after_each_heartbeat(app):
    count(app, 0.04, IDS[0])
    count(app, 0.04, IDS[1])
    assert [one.labels["prediction_id"] for one in told(app).values()] == [IDS[0]]
    count(app, 0.04, IDS[2])  # to be scraped is a heartbeat too
    app.application._metrics.beat()
    count(app, 0.03, IDS[3])
    assert [one.labels["prediction_id"] for one in told(app).values()] == [IDS[3]]


def test_of_several_workers_the_newest_is_told_by_whichever_answers_and_a_dead_one_s_stays(tmp_path):
    counters = tmp_path / "counters"
    with served(tmp_path / "a", counters_folder=counters) as first:
        with served(tmp_path / "b", counters_folder=counters) as second:
            count(second, 0.2, IDS[0])
            count(first, 0.04, IDS[1])
            time.sleep(0.002)
            count(second, 0.04, IDS[2])
            expected = {"0.25": IDS[0], "0.05": IDS[2]}
            for app in (first, second):
                assert {edge: one.labels["prediction_id"] for (_, edge), one in told(app).items()} == expected
        assert {edge: one.labels["prediction_id"] for (_, edge), one in told(first).items()} == expected


def test_a_worker_that_starts_anew_and_one_whose_file_was_removed_keep_theirs(tmp_path):
    with served(tmp_path / "one") as app:
        count(app, 0.04, IDS[0])
        (path,) = (tmp_path / "one").glob("**/*.counts")
        path.unlink()
        app.application._metrics.beat()
        count(app, 2.0, IDS[1])
        assert [one.labels["prediction_id"] for one in told(app).values()] == [IDS[0], IDS[1]]
        assert path.exists()
    shutil.rmtree(tmp_path / "one" / "bento")
    with served(tmp_path / "one") as app:
        assert [one.labels["prediction_id"] for one in told(app).values()] == [IDS[0], IDS[1]]


def test_requests_that_predict_nothing_have_none(app):
    assert app.post("/v1/score", {"features": {"tenure": "nonsense"}}).status_code == 422
    app.get("/v1/experiment")
    app.get("/nowhere")
    assert told(app) == {}


def test_many_rows_have_the_first_that_was_answered(app):
    rows = [{"features": {}}, *({"features": FEATURES, "customer_id": f"c{n}"} for n in range(3))]
    answer = app.post("/v1/score/batch", {"rows": rows}).json()
    ((route, _), exemplar) = next(iter(told(app).items()))
    assert route == "/v1/score/batch"
    assert exemplar.labels["prediction_id"] == answer["predictions"][1]["prediction_id"]


def test_rows_of_the_open_inference_protocol_have_the_first_too(app):
    inputs = [
        {"name": name, "shape": [2], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value] * 2}
        for name, value in FEATURES.items()
    ]
    response = app.post("/v2/models/toy/infer", {"id": "Ada Lovelace", "inputs": inputs})
    assert response.status_code == 200, response.text
    ids = next(one["data"] for one in response.json()["outputs"] if one["name"] == "prediction_id")
    ((route, _), exemplar) = next(iter(told(app).items()))
    assert (route, exemplar.labels) == ("/v2/models/toy/infer", {"prediction_id": ids[0]})


def test_nothing_of_a_customer_is_in_an_exposition(app):
    score(app, customer_id="Ada Lovelace")
    app.request(
        "POST", "/v1/score", json={"features": FEATURES, "customer_id": "Ada Lovelace"}, headers={"x-request-id": "Ada"}
    )
    assert "Ada" not in scraped(app).text
    labels = {key: value for one in told(app).values() for key, value in one.labels.items()}
    assert set(labels) == {"prediction_id"}
    assert UUID(labels["prediction_id"]).version == 7
    assert sum(map(len, (*labels, *labels.values()))) <= 128  # OpenMetrics 1.0.0, Exemplars


NOW = 1_800_000_000.0
GRID = ExemplarGrid("exemplars", "some_seconds", 3)


def kept(*found):
    """A worker's slots with exemplars at the places 1, 2 and so on."""
    slots = memoryview(bytearray(8 * GRID.size)).cast("d")
    keeper = ExemplarKeeper(slots, 100)
    for place, one in enumerate(found, 1):
        keeper.keep(100 + place, one)
    return slots.tobytes()


ONE = Exemplar(IDS[0], 0.25, NOW)


def test_what_was_kept_is_read_at_its_place():
    assert newest([kept(ONE, replace(ONE, prediction_id=IDS[1]))], NOW) == {
        1: ONE, 2: replace(ONE, prediction_id=IDS[1]),
    }  # fmt: skip


def test_a_record_of_which_only_a_part_was_written_is_not_told():
    """One record over another up to each byte: what somebody may read meanwhile, or find after a death."""
    old, new = kept(ONE), kept(Exemplar(IDS[9], 0.3, NOW + 1))
    start, end = len(old) // 3, 2 * len(old) // 3
    for cut in range(start + 1, end):
        for torn in (new[:cut] + old[cut:], old[:cut] + new[cut:]):
            if torn not in (old, new):
                assert newest([torn], NOW + 1) == {}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, NOW + 60, NOW - TOLD_SECONDS - 1])
def test_an_exemplar_of_no_moment_of_the_last_hour_is_not_told(number):
    assert newest([kept(replace(ONE, at=number))], NOW) == {}
    assert newest([kept(replace(ONE, at=NOW - TOLD_SECONDS))], NOW) != {}


def test_one_at_a_place_that_is_no_bucket_s_is_not_told(app):
    metrics = app.application._metrics
    metrics._exemplars.keep(metrics.places.request_seconds["/v1/score"].total, replace(ONE, at=time.time()))
    assert scraped(app).status_code == 200
    assert told(app) == {}


def test_nonsense_in_the_slots_is_not_told_and_changes_no_sum(app, caplog):
    count(app, 0.04, IDS[0])
    metrics = app.application._metrics
    expected = scraped(app, None).text
    own = metrics.slots[metrics._exemplars_at].cast("B")
    own[:] = b"\xff" * len(own)
    assert told(app) == {}
    after = scraped(app, None).text
    same = {line for line in expected.splitlines() if "/metrics" not in line and not line.startswith("process_")}
    assert same <= set(after.splitlines())
    assert caplog.records == []
