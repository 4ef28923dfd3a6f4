"""What Prometheus says of three replicas that are killed and restarted, compared with what their clients were answered.

What cannot be exact, and is bounded here by what the clients know:

- what was counted between the last scrape and the end of a replica that was killed as a whole, and
- of a worker that is killed while it answers, one request that is answered and not counted yet, and those that were
  counted and whose answer did not come.

Prometheus' `increase`, and so what the rules record, adds by extrapolation what is bounded here by the samples. It does
not see the first sample of a series that appears when it happens, as those of 4xx.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx
import pytest
from observed_toys import PROMETHEUS, RULES, asked, hurried_rules, prometheus
from packing_toys import free_port
from replica_toys import (
    ALLOWED_ROWS,
    CLIENTS,
    IN_A_ROUND,
    SCORES,
    WORKERS,
    Book,
    Clients,
    Replica,
    await_scrape,
    replicas_of_one_installation,
    requests_in,
    rows_in,
    write_scraping,
)
from serving_processes import wait_for
from serving_toys import REFERENCE

from service import metric_names as names

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not on PATH"),
]

ROUNDS = (6, 2, 4)
"""Of each client of `b`: before a worker of it is killed, after that, and after it was replaced.

The last are fewer: a series that appears when it happens, as those of 4xx, is taken to go on where it begins anew above
its last sample.
"""

MODELS = ("toy:1", "toy:2")
ROUTES = "/v1/.*|unmatched"
"""Those that clients ask; the others tell whether it is ready."""

COUNTED = "gauntlet_.+_(total|count|bucket|sum)"

SHIFTED_SECONDS = 0.01
"""By how much Prometheus may set the time of a sample right, where scrapes are a second apart."""

WAITING_ROWS = 64
"""So many rows may be counted twice where a worker is killed in the microseconds in which it counts them."""


@dataclass(frozen=True)
class Series:
    """What Prometheus holds of one series.

    Attributes:
        labels: With its name.
        times: Of its samples, seconds since 1970.
        values: Of the same.
    """

    labels: dict[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def seen(self) -> float:
        """By how much it rose from its first sample to its last; a fall is a new beginning at 0."""
        return sum(after - before if after >= before else after for before, after in pairwise(self.values))

    @property
    def risen(self) -> float:
        """By how much it rose since it was 0, which is where all begin."""
        return self.values[0] + self.seen

    @property
    def after_falls(self) -> tuple[float, ...]:
        """Where it went on after each fall."""
        return tuple(after for before, after in pairwise(self.values) if after < before)

    @property
    def restarts(self) -> int:
        """How often it fell."""
        return len(self.after_falls)

    @property
    def at_most(self) -> float:
        """The most that `increase` can make of it, over a window that all samples lie in.

        It adds half of the mean distance of samples at either end, or up to 1.1 of it where a window ends sooner.
        """
        return self.seen * (1 + 1.6 / max(len(self.values) - 1, 1))


@dataclass
class Scene:
    """What was done, and what is known of it.

    Attributes:
        book: What the clients were answered.
        before: Counters of a replica at rest, before a worker of it is killed.
        after: The same when another has its place.
        codes: Exit codes of replicas that were told to end.
        series: Every counter's in the end.
        client: Asks Prometheus.
    """

    client: httpx.Client
    book: Book = field(default_factory=Book)
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)

    def of(self, name: str, **labels: str) -> list[Series]:
        """The series of a metric with these labels."""
        return [one for one in self.series if one.labels["__name__"] == name and labels.items() <= one.labels.items()]

    def risen(self, name: str, **labels: str) -> float:
        """By how much a metric rose, all its series together."""
        return sum(one.risen for one in self.of(name, **labels))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Three replicas, of which one loses a worker under load, one is replaced, and one dies, each at its own time."""
    place = tmp_path_factory.mktemp("replicas")
    rules = hurried_rules(place / "rules", [RULES / "drift.yaml", RULES / "service.yaml"])
    with replicas_of_one_installation(place, "abc") as replicas:
        configuration = write_scraping(place / "prometheus.yaml", replicas, rules)
        with prometheus(place, configuration, free_port()) as client:
            found = Scene(client)
            await_scrape(client, *replicas)
            play(found, *replicas)
            found.series = list(counters(client))
            yield found


def play(scene: Scene, a: Replica, b: Replica, c: Replica) -> None:
    """`a` loses a worker amid its load; `b` loses one at rest, and is replaced then; `c` is killed amid its load."""
    book, client = scene.book, scene.client
    with Clients(book, a):
        lose_a_worker(book, a)
        Clients(book, b, c).ask(ROUNDS[0])
    await_scrape(client, a, b, c)
    scene.before = newest_sums(client, b)
    b.kill_worker()
    await_scrape(client, b)
    scene.after = newest_sums(client, b)
    Clients(book, b).ask(ROUNDS[1])
    await_scrape(client, b)
    scene.codes.append(b.end())
    b.start()
    b.await_ready()
    await_scrape(client, b)
    with Clients(book, c):
        Clients(book, a, b).ask(ROUNDS[2])
        answered_more(book, c, 40)
        c.kill()
    await_scrape(client, a, b)


def lose_a_worker(book: Book, replica: Replica) -> None:
    """Kill one amid what it answers, and let the others and the next one answer on."""
    answered_more(book, replica, 60)
    wait_for(lambda: replica.workers_that_logged() == WORKERS)
    replica.kill_worker()
    answered_more(book, replica, 60)


def answered_more(book: Book, replica: Replica, n: int) -> None:
    before = len(book.of(replica.name))
    wait_for(lambda: len(book.of(replica.name)) >= before + n, seconds=60)


def newest_sums(client: httpx.Client, replica: Replica) -> dict[str, float]:
    """What a replica counts of what clients do, by its labels, as Prometheus knows it now."""
    found: dict[str, float] = {}
    for one in asked(client, newest(f'__name__=~"{COUNTED}",pod="{replica.name}"')):
        labels: Any = one["metric"]
        if labels.get("route", "/v1/") not in ("/metrics", "/readyz") and labels["__name__"] != names.WORKER_DEATHS:
            found[str(sorted(labels.items()))] = float(one["value"][1])  # type: ignore[index]
    return found


def counters(client: httpx.Client) -> Iterator[Series]:
    for one in asked(client, f'{{__name__=~"{COUNTED}"}}[1h]'):
        samples: Any = one["values"]
        times, values = zip(*((time, float(value)) for time, value in samples), strict=True)
        yield Series(one["metric"], times, values)  # type: ignore[arg-type]


def newest_requests(client: httpx.Client, replica: str) -> Counter[tuple[str, str, str]]:
    """The newest samples by route, method and status, as Prometheus adds them up."""
    wanted = newest(f'pod="{replica}",route=~"{ROUTES}"', names.REQUESTS)
    found = asked(client, f"sum by (route, method, status) ({wanted})")
    return Counter({key_of(one["metric"]): int(one["value"][1]) for one in found})  # type: ignore[index]


def newest(labels: str, name: str = "") -> str:
    """The newest samples of series, even where the last scrape came to nothing."""
    return f"last_over_time({name}{{{labels}}}[1m])"


def key_of(labels: Any) -> tuple[str, str, str]:
    return labels["route"], labels["method"], labels["status"]


def last_requests(scene: Scene, replica: str) -> Counter[tuple[str, str, str]]:
    """By how much requests rose over all lives of a replica."""
    found: Counter[tuple[str, str, str]] = Counter()
    for one in scene.of(names.REQUESTS, pod=replica):
        if one.labels["route"].startswith("/v1/") or one.labels["route"] == "unmatched":
            found[key_of(one.labels)] += int(one.risen)
    return found


def last_rows(scene: Scene, replica: str) -> Counter[tuple[str, str, str]]:
    """By how much predictions rose, those that ever did."""
    found: Counter[tuple[str, str, str]] = Counter()
    for one in scene.of(names.PREDICTIONS, pod=replica):
        found[one.labels["variant"], one.labels["model"], one.labels["label"]] += int(one.risen)
    return +found


def test_clients_were_answered_in_every_way_and_failed_only_where_something_was_killed(scene: Scene) -> None:
    book = scene.book
    rounds = CLIENTS * sum(ROUNDS)
    assert requests_in(book.of("b")) == {key: n * rounds for key, n in IN_A_ROUND.items()}
    assert rows_in(book.of("b")).total() == (SCORES + ALLOWED_ROWS) * rounds
    assert {model for one in "abc" for _, model, _ in rows_in(book.of(one))} == set(MODELS)
    assert book.failed("b") == 0
    assert book.failed("a") <= CLIENTS
    assert scene.codes == [0]


def test_the_newest_samples_of_a_replica_are_what_its_last_life_answered(scene: Scene) -> None:
    answered = scene.book.of("b", 2)
    assert newest_requests(scene.client, "b") == requests_in(answered)
    (outcomes,) = asked(scene.client, newest('pod="b"', names.OUTCOMES))
    assert float(outcomes["value"][1]) == sum(one.outcomes for one in answered)  # type: ignore[index]
    predictions = newest('pod="b"', names.PREDICTIONS)
    found = asked(scene.client, f"sum by (variant, model, label) ({predictions}) > 0")
    counted = {
        (one["metric"]["variant"], one["metric"]["model"], one["metric"]["label"]): int(one["value"][1])  # type: ignore[index]
        for one in found
    }
    assert counted == rows_in(answered)


def test_what_a_worker_counted_that_is_killed_at_rest_stays_to_the_last_request(scene: Scene) -> None:
    assert scene.after == scene.before
    answered = requests_in(scene.book.of("b", 1))
    assert sum(scene.before.values()) > answered.total() > 0
    (deaths,) = scene.of(names.WORKER_DEATHS, pod="b")
    assert max(deaths.values) == 1


def test_a_worker_that_is_killed_under_load_costs_at_most_the_count_of_what_it_was_answering(scene: Scene) -> None:
    answered, counted = requests_in(scene.book.of("a")), newest_requests(scene.client, "a")
    assert (answered - counted).total() <= 1
    assert (counted - answered).total() <= scene.book.failed("a")
    (deaths,) = scene.of(names.WORKER_DEATHS, pod="a")
    assert deaths.values[-1] == 1


def test_no_counter_ever_falls_but_with_the_replica(scene: Scene) -> None:
    """Not even amid a worker's death: the next one goes on with its sums, and others show them until then."""
    assert {len(scene.of(names.PREDICTIONS, pod=pod)) for pod in "abc"} == {24}
    fallen = [one.labels for one in scene.series if one.restarts and one.labels["pod"] != "b"]
    assert fallen == []
    assert max(one.restarts for one in scene.series) == 1


def test_what_rose_over_a_restart_is_what_both_lives_answered(scene: Scene) -> None:
    answered = scene.book.of("b")
    assert len(answered) > len(scene.book.of("b", 2)) > 0
    assert last_requests(scene, "b") == requests_in(answered)
    assert last_rows(scene, "b") == rows_in(answered)
    assert scene.risen(names.OUTCOMES, pod="b") == sum(one.outcomes for one in answered)


def test_of_a_replica_that_is_killed_at_most_what_came_after_the_last_scrape_is_lost(scene: Scene) -> None:
    book, counted = scene.book, last_requests(scene, "c")
    scraped = max(one.times[-1] for one in scene.series if one.labels["pod"] == "c")
    answered, known = requests_in(book.of("c")), requests_in(book.of("c", until=scraped - SHIFTED_SECONDS))
    assert known.total() > 0
    assert (known - counted).total() <= WORKERS  # each may have been about to count what it had answered
    assert (counted - answered).total() <= CLIENTS
    assert (answered - counted).total() <= answered.total() - known.total() + WORKERS


@pytest.mark.parametrize("pod", ["a", "b", "c"])
def test_what_clients_are_promised_and_every_failure_was_there_at_0_from_the_start(scene: Scene, pod: str) -> None:
    promised = [key for key in IN_A_ROUND if key[1] == "POST" and key[2].startswith("2")]
    failures = [(route, method, status) for route, method, _ in promised for status in ("429", "500", "503")]
    began = {key_of(one.labels): one.values[0] for one in scene.of(names.REQUESTS, pod=pod)}
    assert {key: began.get(key) for key in (*promised, *failures)} == dict.fromkeys([*promised, *failures], 0)
    for route in {route for route, _, _ in promised}:
        for part in ("bucket", "count", "sum"):
            durations = scene.of(f"{names.REQUEST_SECONDS}_{part}", pod=pod, route=route)
            assert {one.values[0] for one in durations} == {0}


def test_every_bin_was_there_at_0_from_the_start(scene: Scene) -> None:
    every = {(model, one.name, name) for model in MODELS for one in REFERENCE.features for name in one.bins}
    for pod in "abc":
        bins = scene.of(names.FEATURE_BINS, pod=pod)
        assert {(one.labels["model"], one.labels["feature"], one.labels["bin"]) for one in bins} == every
        assert {one.values[0] for one in (*bins, *scene.of(names.SCORE_BINS, pod=pod))} == {0}
    anew = [one.after_falls for one in scene.of(names.FEATURE_BINS, pod="b") if one.restarts]
    assert len(anew) >= len(MODELS) * len(REFERENCE.features)
    assert set(anew) == {(0,)}


@pytest.mark.parametrize("model", MODELS)
def test_the_bins_of_every_feature_and_of_the_score_sum_up_to_the_predictions(scene: Scene, model: str) -> None:
    request = ALLOWED_ROWS * WORKERS  # those that a worker may have been counting
    for pod, less, more in (("a", request, WAITING_ROWS), ("b", 0, 0), ("c", request, request)):
        predictions = scene.risen(names.PREDICTIONS, pod=pod, purpose="live")
        for feature in REFERENCE.features:
            rows = scene.risen(names.FEATURE_BINS, pod=pod, model=model, feature=feature.name)
            assert predictions - less <= rows <= predictions + more, (pod, feature.name)
        scores = scene.risen(names.SCORE_BINS, pod=pod, model=model)
        assert predictions - less <= scores <= predictions + less, pod


@pytest.mark.parametrize("pod", ["a", "b"])
def test_histograms_count_what_the_counters_count(scene: Scene, pod: str) -> None:
    for route in {one.labels["route"] for one in scene.of(names.REQUESTS, pod=pod)}:
        requests = scene.risen(names.REQUESTS, pod=pod, route=route)
        assert scene.risen(f"{names.REQUEST_SECONDS}_count", pod=pod, route=route) == requests
        assert scene.risen(f"{names.REQUEST_SECONDS}_bucket", pod=pod, route=route, le="+Inf") == requests
    for model in MODELS:
        scores = scene.risen(names.SCORE_BINS, pod=pod, model=model)
        assert scene.risen(f"{names.PROBABILITY}_count", pod=pod, model=model) == scores
        variant = {"variant": "champion" if model == MODELS[0] else "challenger"}
        assert scene.risen(f"{names.PROBABILITY}_count", pod=pod, model=model, **variant) == scores
        assert scene.risen(f"{names.PROBABILITY}_bucket", pod=pod, model=model, le="+Inf") == scores


def test_the_rules_over_all_replicas_say_the_same_within_what_increase_adds(scene: Scene) -> None:
    await_rules(scene)
    for label in ("Yes", "No"):
        rose = scene.of(names.PREDICTIONS, label=label, purpose="live")
        assert between(rose, recorded(scene, "gauntlet:predictions:increase1h", label=label))
    for model in MODELS:
        assert between(scene.of(names.SCORE_BINS, model=model), recorded(scene, "gauntlet:score:n1h", model=model))
        for feature in REFERENCE.features:
            of = {"model": model, "feature": feature.name}
            assert between(scene.of(names.FEATURE_BINS, **of), recorded(scene, "gauntlet:feature:n1h", **of))
    requests = [one for one in scene.of(names.REQUESTS) if one.labels["route"].startswith("/v1/")]
    assert between(requests, 300 * recorded(scene, "gauntlet:availability:requests_rate5m"))


def test_the_rules_know_every_prediction_but_those_that_no_scrape_saw(scene: Scene) -> None:
    await_rules(scene)
    answered = rows_in(scene.book.of()).total()
    series = scene.of(names.PREDICTIONS, purpose="live")
    seen, at_most = sum(one.seen for one in series), sum(one.at_most for one in series)
    scraped = max(one.times[-1] for one in scene.of(names.PREDICTIONS, pod="c"))
    late = [one for one in scene.book.of("c") if one.ended > scraped - SHIFTED_SECONDS]
    unsure = ALLOWED_ROWS * (2 * CLIENTS + WORKERS)
    assert answered - rows_in(late).total() - unsure <= seen <= answered + unsure
    assert seen <= recorded(scene, "gauntlet:predictions:increase1h") <= at_most


def await_rules(scene: Scene) -> None:
    """Wait until the rules were evaluated over the last samples."""
    last = max(one.times[-1] for one in scene.series)
    wait_for(lambda: asked(scene.client, f"timestamp(gauntlet:feature:n1h) > {last + 1!r}") != [], seconds=60)


def recorded(scene: Scene, rule: str, **labels: str) -> float:
    """The sum of what a rule recorded last."""
    inside = ",".join(f'{name}="{value}"' for name, value in {"namespace": "n", **labels}.items())
    (found,) = asked(scene.client, f"sum({rule}{{{inside}}})")
    return float(found["value"][1])  # type: ignore[index]


def between(series: Sequence[Series], value: float) -> bool:
    """Whether a sum of increases is what these series rose by, and not more than extrapolation adds."""
    seen = sum(one.seen for one in series)
    return 0 < seen <= value * (1 + 1e-9) and value <= sum(one.at_most for one in series)
