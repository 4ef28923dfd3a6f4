"""What tiers of tests found, as Markdown: tests by tier, failures, skips, the slowest tests, coverage by plane.

Reads the JUnit files of a folder and, with `--least`, coverage.json. The summary is added to the file that
GITHUB_STEP_SUMMARY names, or goes to the terminal. Exit code 1 where a tier ran nothing or where a plane is reached
less than it must be.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

SLOWEST = 10
_LONGEST = 200


@dataclass(frozen=True)
class Case:
    """One test.

    Attributes:
        tier: Whose.
        name: Module, class and function.
        seconds: How long it took, with its fixtures.
        outcome: `passed`, `failed` or `skipped`.
        reason: The first line of why it failed or was skipped.
    """

    tier: str
    name: str
    seconds: float
    outcome: str
    reason: str = ""


@dataclass(frozen=True)
class Reach:
    """How much of a plane was run.

    Attributes:
        plane: Its folder, or the file.
        lines: How many there are to run.
        lines_run: How many were.
        branches: How many ways there are from one line to another where there are several.
        branches_run: How many were taken.
    """

    plane: str
    lines: int = 0
    lines_run: int = 0
    branches: int = 0
    branches_run: int = 0

    @property
    def ratio(self) -> float:
        """Lines and branches together, as coverage counts; 0 where there is nothing."""
        return _ratio(self.lines_run + self.branches_run, self.lines + self.branches)


def read_cases(file: Path) -> list[Case]:
    """The tests of a tier's JUnit file, whose name is the tier's; none where there is no file."""
    if not file.is_file():
        return []
    root = ElementTree.parse(file).getroot()  # noqa: S314 - pytest has just written it
    return [_case_of(file.stem, element) for element in root.iter("testcase")]


def read_reach(report: Path, planes: Sequence[str]) -> list[Reach]:
    """What coverage's JSON says of the planes; nothing was run of one that it does not know."""
    files = json.loads(report.read_text())["files"] if report.is_file() else {}
    found = []
    for plane in planes:
        sums = [one["summary"] for name, one in files.items() if name == f"{plane}.py" or name.startswith(f"{plane}/")]
        keys = ("num_statements", "covered_lines", "num_branches", "covered_branches")
        found.append(Reach(plane, *(sum(one[key] for one in sums) for key in keys)))
    return found


def complaints(tiers: Sequence[str], cases: Sequence[Case], reached: Sequence[Reach], least: float) -> list[str]:
    """Why the stage fails beside failed tests, a sentence each."""
    ran = {case.tier for case in cases if case.outcome != "skipped"}
    silent = [f"The {tier} tier ran no test." for tier in tiers if tier not in ran]
    low = [one for one in reached if one.ratio < least]
    return silent + [f"{_percent(one.ratio)} of {one.plane} is reached, less than {least:.0%}." for one in low]


def summary_of(tiers: Sequence[str], cases: Sequence[Case], reached: Sequence[Reach], wrong: Sequence[str]) -> str:
    """The whole page."""
    failed = [case for case in cases if case.outcome == "failed"]
    slowest = sorted(cases, key=lambda case: -case.seconds)[:SLOWEST]
    timed = [(f"{case.seconds:.1f}", _code(case.name)) for case in slowest]
    skipped = Counter((case.tier, case.reason) for case in cases if case.outcome == "skipped")
    parts = [
        [f"## Tests on Python {platform.python_version()}: {'failed' if failed or wrong else 'passed'}"],
        [f"**{sentence}**" for sentence in wrong],
        _table(("tier", "passed", "failed", "skipped", "minutes"), [_row_of(tier, cases) for tier in tiers]),
        _section("Failed", [f"- `{case.name}` ({case.tier}): {_code(case.reason)}" for case in failed]),
        _section("Reached of the planes", _reach_table(reached) if reached else []),
        _section("Slowest", _table(("seconds", "test"), timed)),
        _section("Skipped", [f"- {count} ({tier}): {_code(reason)}" for (tier, reason), count in skipped.items()]),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _case_of(tier: str, element: ElementTree.Element) -> Case:
    told = {child.tag: child.get("message", "") for child in element}
    outcome = "failed" if told.keys() & {"failure", "error"} else "skipped" if "skipped" in told else "passed"
    reason = next((told[tag] for tag in ("failure", "error", "skipped") if tag in told), "")
    name = f"{element.get('classname')}::{element.get('name')}"
    return Case(tier, name, float(element.get("time", 0)), outcome, next(iter(reason.strip().splitlines()), ""))


def _row_of(tier: str, cases: Iterable[Case]) -> tuple[str, ...]:
    ours = [case for case in cases if case.tier == tier]
    counts = Counter(case.outcome for case in ours)
    minutes = sum(case.seconds for case in ours) / 60
    return (tier, *(str(counts[outcome]) for outcome in ("passed", "failed", "skipped")), f"{minutes:.1f}")


def _reach_table(reached: Sequence[Reach]) -> list[str]:
    rows = [
        (
            one.plane,
            _percent(one.ratio),
            f"{one.lines_run:,} of {one.lines:,}",
            f"{one.branches_run:,} of {one.branches:,} ({_percent(_ratio(one.branches_run, one.branches))})",
        )
        for one in reached
    ]
    return _table(("plane", "reached", "lines", "branches"), rows)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"### {title}", "", *lines] if lines else []


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _code(text: str) -> str:
    """A stranger's words, harmless in Markdown and in its tables."""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "`" + short.replace("`", "'").replace("|", "¦") + "`"


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _percent(ratio: float) -> str:
    """Cut, not rounded: 89.99 % is not 90 %."""
    return f"{int(ratio * 1000) / 10:.1f} %"


def main(arguments: Sequence[str]) -> int:
    """Write the summary; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", type=Path, help="the folder of TIER.xml and coverage.json")
    parser.add_argument("tiers", nargs="+", metavar="TIER", help="each must have run")
    parser.add_argument("--least", type=float, metavar="PERCENT", help="of each plane; without it coverage is left out")
    given = parser.parse_args(arguments)
    if not given.reports.is_dir():
        parser.error(f"{given.reports} is no folder; it must be the one of the tiers' reports")
    reached: list[Reach] = []
    if given.least is not None:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
        reached = read_reach(given.reports / "coverage.json", project["tool"]["coverage"]["run"]["source_pkgs"])
    cases = [case for tier in given.tiers for case in read_cases(given.reports / f"{tier}.xml")]
    wrong = complaints(given.tiers, cases, reached, (given.least or 0) / 100)
    page = summary_of(given.tiers, cases, reached, wrong)
    (given.reports / "summary.md").write_text(page)
    told = os.environ.get("GITHUB_STEP_SUMMARY")
    if told:
        with Path(told).open("a") as file:
            file.write(page)
    else:
        sys.stdout.write(page)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
