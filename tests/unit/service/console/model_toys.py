"""A registry of runs, versions and gate reports without MLflow, and a console that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from console_toys import settings_in
from report_toys import NOW, report_around

from bentos.blessings import ATTEMPTS_TAG
from bentos.errors import NotFound
from bentos.registry import Version
from bentos.tracked import TrackedRun
from service.console.gate.reading import Judged, judged_of
from service.console.models.reading import Standing, Tried
from service.console.sources import Sources
from validation.gate.report import Answers, CheckResult, Curve, GateReport, Model, Part, dump_report

MODEL = "toy"
PASSED = CheckResult(
    name="accuracy", kind="performance", status="PASS", reason="0.8 must be at least 0.6", value=0.8, low=0.7,
    high=0.9, bound=0.6, allowed="at least 0.6", n=100,
)  # fmt: skip
FAILED = CheckResult(
    name="fairness[tpr, plan]", kind="fairness", status="FAIL", reason="0.3 must be at most 0.1", value=0.3, bound=0.1,
    allowed="at most 0.1", n=100, parts=(Part(name="plan=a", value=0.6), Part(name="plan=b", value=0.9)),
)  # fmt: skip
NOISE = CheckResult(
    name="accuracy_drop[noise 0.1]", kind="noise", status="PASS", reason="0.01", value=0.01, bound=0.05,
    allowed="below 0.05",
)  # fmt: skip


class FakeRegistry:
    """Runs, versions and their files, as they were put in."""

    def __init__(self) -> None:
        self.all_runs: list[TrackedRun] = []
        self.all_versions: list[Version] = []
        self.contents: dict[tuple[str, str], bytes] = {}
        self.asked: list[str] = []

    def names(self) -> list[str]:
        return [MODEL]

    def runs(self, _experiment: str) -> list[TrackedRun]:
        self.asked.append("runs")
        return self.all_runs

    def versions(self, _name: str) -> list[Version]:
        return self.all_versions

    def files(self, version: Version, under: str) -> list[str]:
        return [path for run, path in self.contents if run == version.run and path.startswith(f"{under}/")]

    def fetch_file(self, version: Version, path: str, folder: Path) -> Path:
        self.asked.append(path)
        if (version.run, path) not in self.contents:
            raise NotFound(f"the run of {version} has no {path}")
        found = folder / Path(path).name
        found.write_bytes(self.contents[version.run, path])
        return found

    def add_version(self, number: str, **changes: Any) -> Version:
        """A version that the run of the same number made, the newest so far."""
        version = version_of(number, **changes)
        self.all_versions.insert(0, version)
        return version

    def add_report(self, version: Version, report: GateReport) -> str:
        """Keep a report with the version's run; gives its name."""
        name = f"gate-{MODEL}-{version.number}-{report.judged_at:%Y%m%dT%H%M%S.%fZ}"
        self.contents[version.run, f"gate/{name}.json"] = dump_report(report)
        self.contents[version.run, f"gate/{name}.html"] = b"<html>"
        return name


def sources_of(registry: FakeRegistry, folder: Path) -> Sources:
    """A console's sources whose registry is a fake."""
    sources = Sources(settings_in(folder))
    sources.registry = lambda: registry  # type: ignore[assignment,return-value]
    return sources


def version_of(number: str, **changes: Any) -> Version:
    """A judged version; its digest ends with its number."""
    given = {"name": MODEL, "number": number, "digest": f"sha256:{number:0>64}", "run": f"run-{number}"}
    return Version(**{**given, "tags": {ATTEMPTS_TAG: "1"}, **changes})


def report_of(number: str = "2", *checks: CheckResult, **changes: Any) -> GateReport:
    """A report of a version."""
    candidate = Model(name=MODEL, version=number, digest=f"sha256:{number:0>64}")
    return report_around(checks or (PASSED,), candidate=candidate, **changes)


def answers_with(**metrics: tuple[float, float, float]) -> tuple[Answers, ...]:
    """What a candidate answered, of which only metrics matter: value, low and high by name."""
    curve = Curve((0.0, 1.0), (0.0, 1.0))
    parts = tuple(Part(name=name, value=value, low=low, high=high) for name, (value, low, high) in metrics.items())
    both = [Part(name=name, value=0.5) for name in ("roc_auc", "pr_auc") if name not in metrics]
    return (
        Answers(
            role="candidate", cut=0.5, tp=1, fp=1, fn=1, tn=1, roc=curve, precision_recall=curve, calibration=(),
            histogram=((1,), (1,)), metrics=(*parts, *both),
        ),
    )  # fmt: skip


def judged(number: str = "2", **metrics: tuple[float, float, float]) -> Judged:
    """A report in short."""
    return judged_of(f"gate-{number}", report_of(number, answers=answers_with(**metrics)))


def run_of(number: str, *, hour: int = 0, status: str = "FINISHED", metrics=None, **parameters: Any) -> TrackedRun:
    """A run; its accuracy over the folds is 0.8 ± 0.01 unless said otherwise."""
    began = int(NOW.timestamp() * 1000) + 3_600_000 * hour
    known = {"cv_accuracy_mean": 0.8, "cv_accuracy_sd": 0.01} if metrics is None else metrics
    told = {"estimator": "sklearn.ensemble.RandomForestClassifier", **parameters}
    given = {name: str(value) for name, value in told.items()}
    return TrackedRun(f"run-{number}", f"toy {number}", status, began, began + 2500, given, known)


def tried(number: str, role: str = "registered", *, judged: Judged | None = None, **run: Any) -> Tried:
    """A run with its version."""
    return Tried(run_of(number, **run), version_of(number), Standing(role), judged)
