"""What was measured, as Markdown for people and as plain values for machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.bench.machine import Facts
from tests.bench.measuring import Measured, Skipped
from tests.bench.wrk import Load

Row = Sequence[str]
_SLOW = ("bento-sklearn", "fastapi-sklearn", "mlserver", "kserve", "mlflow")
_GOALS = {"mlserver": 100.0, "kserve": 100.0, "mlflow": 100.0}


@dataclass(frozen=True)
class Ratio:
    """A ratio that the issue sets a goal for, or that is worth knowing.

    Attributes:
        what: For people.
        value: The median over the pairs.
        each: Of every pair by itself, which shows the noise.
        goal: What it must reach; None where nothing is set.
        is_at_most: Whether the goal is a bound from above.
    """

    what: str
    value: float
    each: tuple[float, ...]
    goal: float | None = None
    is_at_most: bool = False

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.is_at_most else self.value >= self.goal


@dataclass(frozen=True)
class Bench:
    """A whole run.

    Attributes:
        facts: Of the machine.
        source: Where the customers come from.
        seconds: Of each measurement.
        measured: In the order in which it was measured; floor and gauntlet come several times.
        skipped: What could not be measured.
    """

    facts: Facts
    source: str
    seconds: float
    measured: tuple[Measured, ...]
    skipped: tuple[Skipped, ...]

    @property
    def good(self) -> tuple[Measured, ...]:
        """What can be relied on."""
        return tuple(found for found in self.measured if found.problem is None)

    def runs(self, server: str) -> list[Measured]:
        """The good runs of one server."""
        return [found for found in self.good if found.server == server]


def ratios(bench: Bench) -> list[Ratio]:
    """Every ratio whose both sides were measured."""
    found = list(_against_floor(bench))
    ours = bench.runs("gauntlet")
    for name in _SLOW:
        theirs = bench.runs(name)
        if ours and theirs:
            each = tuple(run.crowded.per_second / _middle(theirs).crowded.per_second for run in ours)
            found.append(Ratio(f"req/s, gauntlet / {name}", median(each), each, _GOALS.get(name)))
    return found


def render(bench: Bench) -> str:
    """The run as Markdown."""
    parts = [
        "\n".join(bench.facts.to_lines()),
        f"Single-row POST, 500 different customers in turn ({bench.source}), {bench.seconds:g} s a measurement, server "
        "on one core, wrk on the other.",
        table(_HEAD, _rows(bench)),
    ]
    found = ratios(bench)
    if found:
        parts.append(table(("ratio", "median", "each pair", "goal", ""), [_ratio_row(ratio) for ratio in found]))
    parts.extend(f"- **{skipped.server}** was not measured: {skipped.reason}" for skipped in bench.skipped)
    parts.extend(
        f"- **{found.server}** was measured and is not counted: {found.problem}"
        for found in bench.measured
        if found.problem
    )
    return "\n\n".join(parts)


def to_json(bench: Bench) -> dict[str, Any]:
    """The run as plain values."""
    return {
        "facts": bench.facts.to_json(),
        "source": bench.source,
        "seconds": bench.seconds,
        "measured": [{**asdict(found), "problem": found.problem} for found in bench.measured],
        "skipped": [asdict(skipped) for skipped in bench.skipped],
        "ratios": [{**asdict(ratio), "is_reached": ratio.is_reached} for ratio in ratios(bench)],
    }


def table(head: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_HEAD = (
    "server", "req/s, c=1", "p50 ms", "p99 ms", "req/s, many", "c", "p50 ms", "p99 ms", "failed", "MB", "ready s",
)  # fmt: skip


def _rows(bench: Bench) -> list[Row]:
    """A row a server: the run in the middle where there are several."""
    names = dict.fromkeys(found.server for found in bench.measured)
    chosen = {name: [found for found in bench.measured if found.server == name] for name in names}
    return [_row(_middle(runs), len(runs)) for runs in chosen.values()]


def _row(found: Measured, runs: int) -> Row:
    what = found.what + (f" ({found.versions})" if found.versions else "") + (f", middle of {runs}" if runs > 1 else "")
    failed = sum(part.bad + part.broken for part in (found.alone, found.crowded))
    return (
        f"{found.server}: {what}",
        *_figures(found.alone),
        f"{found.crowded.per_second:,.0f}",
        str(found.crowded.connections),
        *_figures(found.crowded)[1:],
        str(failed),
        f"{found.memory_mb:,.0f}",
        f"{found.start_seconds:.1f}",
    )


def _figures(part: Load) -> tuple[str, str, str]:
    return f"{part.per_second:,.0f}", f"{part.p50_ms:.2f}", f"{part.p99_ms:.2f}"


def _middle(runs: Sequence[Measured]) -> Measured:
    return sorted(runs, key=lambda run: run.crowded.per_second)[len(runs) // 2]


def _against_floor(bench: Bench) -> Iterable[Ratio]:
    """Each run of gauntlet beside the mean of the floors before and after it."""
    pairs = list(_pairs(bench))
    if not pairs:
        return
    shares = tuple(ours.crowded.per_second / _mean(f.crowded.per_second for f in floors) for ours, floors in pairs)
    yield Ratio("req/s at c=32, gauntlet / floor", median(shares), shares, 0.75)
    tails = tuple(ours.crowded.p99_ms / _mean(f.crowded.p99_ms for f in floors) for ours, floors in pairs)
    yield Ratio("p99 at c=32, gauntlet / floor", median(tails), tails, 2.0, is_at_most=True)
    alone = tuple(ours.alone.p50_ms / _mean(f.alone.p50_ms for f in floors) for ours, floors in pairs)
    yield Ratio("p50 at c=1, gauntlet / floor", median(alone), alone, 1.5, is_at_most=True)


def _pairs(bench: Bench) -> Iterable[tuple[Measured, list[Measured]]]:
    good = bench.good
    for place, ours in enumerate(good):
        if ours.server == "gauntlet":
            before = [found for found in good[:place] if found.server == "floor"][-1:]
            after = [found for found in good[place:] if found.server == "floor"][:1]
            if before or after:
                yield ours, before + after


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _ratio_row(ratio: Ratio) -> Row:
    each = ", ".join(f"{value:.2f}" for value in ratio.each)
    if ratio.goal is None:
        return ratio.what, f"{ratio.value:.2f}", each, "", ""
    bound = "at most" if ratio.is_at_most else "at least"
    verdict = "reached" if ratio.is_reached else "**not reached**"
    return ratio.what, f"{ratio.value:.2f}", each, f"{bound} {ratio.goal:g}", verdict
