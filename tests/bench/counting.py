"""What counting one request costs: `python -m tests.bench.counting`.

Request, latency, both models' calls, the prediction, both probabilities and every feature, for the shipped use case;
alone, and for requests that were scored together. One process, no server; the least of several repetitions.
"""

from __future__ import annotations

import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from bentos.artifact import Binned, Categorical, Contract, Encoder, Feature, Numeric, Reference
from service.http.messages import Request, Response, Route
from service.metrics import Metrics, ScoringState, series_bound
from service.prediction_log.records import Prediction
from service.routes.openapi import example_features
from service.scoring.deciding import Answer, Scored
from service.scoring.models import Identity, Model
from tests.bench.machine import look, say
from training.use_case import load_use_case

USE_CASE = Path(__file__).resolve().parents[2] / "training" / "use_cases" / "telco_churn.yaml"
REPEATS, ROUNDS = 300, 640
"""Many short repetitions: the least of them is one in which nobody else had the core."""
TOGETHER = 32
PREDICTION_ID = "0190163d-8694-739b-aea5-966c26f8ad91"


def main() -> None:
    """Measure and print."""
    contract = load_use_case(USE_CASE).contract
    models = [make_model(contract, number) for number in (1, 2)]
    with tempfile.TemporaryDirectory() as folder:
        metrics = open_metrics(Path(folder), contract, models)
        rows = np.repeat(Encoder(contract).encode_row(example_features(contract)), TOGETHER, axis=0)
        scored = [make_scored(contract, models) for _ in range(TOGETHER)]
        for line in look().to_lines():
            say(line)
        say(f"\n{contract.name}: {len(contract.features)} features, {rows.shape[1]} columns, 2 models.\n")
        say("| what is counted | microseconds |\n| --- | ---: |")
        show("one addition to a slot", least(one_addition(metrics)))
        for name, step in steps(metrics, models, scored[:1], rows[:1]):
            show(name, least(step))
        show(
            f"all of one request of {TOGETHER} scored together",
            least(everything(metrics, models, scored, rows)) / TOGETHER,
        )
        lines = sum(not line.startswith(b"#") for line in metrics.exposition().splitlines())
        bound = series_bound(metrics.layout, models=2, workers=1)
        show(f"an exposition of {lines} samples, of at most {bound}", least(metrics.exposition, 1))
        show("the same in OpenMetrics, with exemplars", least(lambda: metrics.exposition(is_open=True), 1))


def steps(metrics: Metrics, models: list[Model], scored: list[Scored], rows: np.ndarray):
    """What is counted of one request, piece by piece and all of it."""
    yield "request and its latency", lambda: metrics.count_request("/v1/score", "POST", 200, 0.0004, PREDICTION_ID)
    yield "one model's call", lambda: metrics.count_call(models[0], 1, 0.00003)
    yield "prediction, two probabilities, all features", lambda: metrics.count_scored(scored, rows)
    yield "all of one request", everything(metrics, models, scored, rows)


def one_addition(metrics: Metrics) -> Callable[[], None]:
    """The least that counting can be: what the other lines are to be read beside on another machine."""
    slots = metrics.slots

    def step() -> None:
        slots[0] += 1

    return step


def everything(metrics: Metrics, models: list[Model], scored: list[Scored], rows: np.ndarray) -> Callable[[], None]:
    """Counting all there is to count of requests that were scored together."""

    def step() -> None:
        for model in models:
            metrics.count_call(model, len(scored), 0.00003)
        metrics.count_scored(scored, rows)
        for _ in scored:
            metrics.count_request("/v1/score", "POST", 200, 0.0004, PREDICTION_ID)

    return step


def least(step: Callable[[], None], rounds: int = ROUNDS) -> float:
    """Seconds of one step: the least mean of several repetitions, as others use the machine too."""
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(rounds):
            step()
        found.append((time.perf_counter() - began) / rounds)
    return min(found)


def show(name: str, seconds: float) -> None:
    """One line of the table."""
    say(f"| {name} | {1e6 * seconds:.2f} |")


def open_metrics(folder: Path, contract: Contract, models: list[Model]) -> Metrics:
    """Metrics of a worker with two models, as its application opens them."""
    state = ScoringState(
        roles=None,
        gauntlet="bench",
        is_ready=True,
        is_file_valid=True,
        is_champion_present=True,
        is_challenger_present=True,
        are_challengers_left_out=False,
        spool_lost=0,
        is_spool_failing=False,
        circuits_open=0,
    )
    metrics = Metrics(lambda: state)
    references = {model.identity.digest: reference_of(contract) for model in models}
    by_digest = {model.identity.digest: model for model in models}
    carried = SimpleNamespace(contract=contract, by_digest=by_digest, references=references)
    routes = [Route("POST", path, answer_nobody, "") for path in ("/v1/score", "/v1/outcomes", "/metrics")]
    metrics.open(folder, "bench", models=carried, routes=routes)
    return metrics


async def answer_nobody(request: Request) -> Response:
    """Nobody asks these routes: they are only counted."""
    raise NotImplementedError


def make_model(contract: Contract, number: int) -> Model:
    """A model that nobody asks."""
    return Model(Identity(name=contract.name, version=str(number), digest=f"sha256:{number}" * 8), contract, None)


def make_scored(contract: Contract, models: list[Model]) -> Scored:
    """A live prediction in the shadow."""
    champion, challenger = models
    answer = Answer(
        prediction_id="id",
        variant="champion",
        model=champion.identity,
        probability=0.3,
        label=contract.label(0.3),
        risk=contract.risk(0.3),
        no_treatment=False,
    )
    record = Prediction(
        prediction_id="id",
        at=0,
        customer_id="somebody",
        purpose="live",
        experiment="experiment",
        revision=1,
        mode="shadow",
        split=0.0,
        variant="champion",
        champion=champion.identity.digest,
        challenger=challenger.identity.digest,
        champion_probability=0.3,
        challenger_probability=0.45,
        champion_positive=False,
        challenger_positive=False,
        features={},
    )
    return Scored(answer, record, None)


def reference_of(contract: Contract) -> Reference:
    """A reference with ten bins a number, as training writes them."""
    score = Binned(name="score", edges=tuple(i / 10 for i in range(1, 10)), bins=_names(9), counts=(1,) * 10)
    return Reference(n=10, features=tuple(_bin(feature) for feature in contract.features), score=score)


def _bin(feature: Feature) -> Binned:
    if isinstance(feature, Categorical):
        bins = (*feature.categories, *(["missing"] if feature.missing else []), "unseen")
        return Binned(name=feature.name, bins=bins, counts=(1,) * len(bins))
    edges = tuple(np.linspace(feature.minimum, feature.maximum, 11)[1:-1].tolist())
    bins = (*_names(len(edges)), *(["missing"] if isinstance(feature, Numeric) and feature.missing else []))
    return Binned(name=feature.name, edges=edges, bins=bins, counts=(1,) * len(bins))


def _names(edges: int) -> tuple[str, ...]:
    return tuple(f"bin {bisect_right(range(edges), i)}" for i in range(edges + 1))


if __name__ == "__main__":
    main()
