"""How many time series an installation makes at most: `python -m tests.bench.series [USE_CASE.yaml]`.

Counted from the contract, with ten bins a number as training makes them: no request can add a series. By pods, workers,
models and challengers; what the rules record comes on top, once.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args

import yaml

from bentos.artifact import Categorical, Contract
from service.application import Application
from service.counters.customers import BITS
from service.counters.scoring import CountedModel, scoring_layout
from service.insight.answering import Explained
from service.insight.emails.writing import Source, Why
from service.insight.metrics import UPPER_SECONDS
from service.metrics import series_bound
from service.settings import read_settings
from tests.bench.counting import USE_CASE, reference_of
from tests.bench.machine import say
from tests.serving_toys import make_bento
from training.use_case import load_use_case

RULES = Path(__file__).resolve().parents[2] / "grafana" / "rules"
SHIPPER, A_SPOOL = 6, 2
"""What a shipper exports: rows by three kinds, duplicates, bad lines, failed passes; and of each spool two."""
JUDGE, A_MODEL, A_TRIAL, A_GROUP, A_PROTECTED = 4, 4, 45, 5, 6
"""What the judge exports of its looks, of each model in either role, of each challenger, and of each of its groups:
those that the policy names, and those that the contract protects, where a value may be missing or unseen too."""
A_HISTOGRAM = len(UPPER_SECONDS) + 3
INSIGHT, AN_EXPLAINED = (
    6 + len(get_args(Source)) * len(get_args(Why)) + A_HISTOGRAM,
    len(get_args(Explained)) + A_HISTOGRAM,
)
"""What insight exports of its workers, its drafts and Groq, and of each model that it explains."""
A_BACKLOG = 1
"""Predictions that wait for outcomes while nobody is on trial; else they are the trials'."""


@dataclass(frozen=True)
class Size:
    """How large an installation is.

    Attributes:
        pods: Of scoring.
        workers: Of each pod.
        models: That the Bento carries, the champion among them.
        groups: That the policy names.
    """

    pods: int = 3
    workers: int = 2
    models: int = 2
    groups: int = 4


def main() -> None:
    """Print a table."""
    contract = load_use_case(Path(sys.argv[1]) if len(sys.argv) > 1 else USE_CASE).contract
    say(f"{contract.name}: {len(contract.features)} features\n")
    say(table(contract))


def table(contract: Contract) -> str:
    """The table of the README, by some sizes."""
    found = [(size, at_most(contract, size)) for size in (Size(1, 1), Size(3, 2), Size(20, 4), Size(20, 4, models=4))]
    lines = ["| pods, workers, models | scoring | shippers | judge | insight | recorded | in all |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size, parts in found:
        cells = " | ".join(f"{n:,}" for n in (*parts.values(), sum(parts.values())))
        lines.append(f"| {size.pods}, {size.workers}, {size.models} | {cells} |")
    return "\n".join(lines)


def at_most(contract: Contract, size: Size) -> dict[str, int]:
    """Series by who makes them."""
    scoring = series_of_a_pod(contract, size)
    protected = (contract.feature(name) for name in contract.protected)
    values = sum(len(feature.categories) + 2 for feature in protected if isinstance(feature, Categorical))
    return {
        "scoring": size.pods * scoring,
        "shippers": size.pods * (SHIPPER + A_SPOOL * size.workers),
        "judge": JUDGE
        + A_MODEL * size.models
        + max(A_BACKLOG, (size.models - 1) * (A_TRIAL + A_GROUP * size.groups + A_PROTECTED * values)),
        "insight": INSIGHT + AN_EXPLAINED * size.models,
        "recorded": sum(combinations_of(name, contract, size) for name in recorded()),
    }


def series_of_a_pod(contract: Contract, size: Size) -> int:
    """What one pod's scoring exports, if every route was asked with every method and answered with every status."""
    risks = tuple(band.name for band in contract.risk_bands)
    models = [
        CountedModel(f"{contract.name}:{number}", f"sha256:{number}", reference_of(contract), risks)
        for number in range(1, size.models + 1)
    ]
    layout = scoring_layout(contract, models, routes()).layout
    return series_bound(layout, models=size.models, workers=size.workers)


@cache
def routes() -> tuple[str, ...]:
    """The paths that scoring counts by, asked of an application of toys: they are the same for every contract."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_bento(folder / "bento", (0.5,))
        application = Application(
            read_settings(bento=folder / "bento", spool_folder=folder / "spool", counters_folder=folder)
        )
        asyncio.run(application.stop())
    return (*application.http.paths, *application.admin.paths)


def recorded() -> Iterator[str]:
    """The names of what the rules record."""
    for path in sorted(RULES.glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from (rule["record"] for rule in group["rules"] if "record" in rule)


def combinations_of(name: str, contract: Contract, size: Size) -> int:
    """How many label combinations a recorded series has, by what its name says that it is about."""
    reference = reference_of(contract)
    about = re.fullmatch(r"gauntlet:(\w+):\w+", name)
    each = {
        "feature_bin": size.models * sum(len(binned.bins) for binned in reference.features),
        "score_bin": size.models * len(reference.score.bins),
        "feature": size.models * len(reference.features),
        "score": size.models,
        "predictions": size.models * len(contract.labels.__struct_fields__),
        "model": size.models,
        "pod": size.pods,
        "pods": 1,
        "availability": 1,
        "latency": 1,
        "customers": 1,
        "bins": 1,
        "customer_bit": BITS,
    }
    if about is None or about[1] not in each:
        raise ValueError(f"nobody has said how many series {name} may have; say it in {__file__}")
    return each[about[1]]


if __name__ == "__main__":
    main()
