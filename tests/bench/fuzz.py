"""Fuzzing the real server: requests from its own OpenAPI document, spoilt bytes over raw sockets, and bodies of a legal
size that take as long to read as can be thought of. No 5xx, no hang, no growth.

`python -m tests.bench.fuzz --cases 5000`; the same `--seed` sends the same bytes, but for ids of this moment. A case
that failed lies in a file, which `--replay FILE` sends again.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bentos.folder import Folder
from tests.bench.fuzzing.expensive import Held, make_expensive, measure
from tests.bench.fuzzing.probe import Lateness, watching
from tests.bench.fuzzing.running import Result, run_cases, slope_mb
from tests.bench.fuzzing.seeds import make_seeds
from tests.bench.fuzzing.target import Target, aftermath, right_answers, serve, spooled
from tests.bench.fuzzing.wire import send
from tests.bench.machine import CannotMeasure, check, look, progress, say
from tests.bench.processes import end_by_signals
from tests.bench.report import table

PARTS = ("schema", "wire", "expensive")
LIMIT_SECONDS = 20.0
"""Within which every request of the fuzz must be answered, while others are."""

GROWTH_MB = 2.0
"""A thousand cases may leave so much behind, when all of them have been sent once: what the allocator keeps."""

_HELD_MS = 50.0
_WORST = 8


def main(arguments: Sequence[str]) -> int:
    """Fuzz and print. Exit code 1 where anything is wrong, 2 where nothing can be tried."""
    options = _options(arguments)
    end_by_signals()
    try:
        check("taskset")
        if options.replay is not None:
            return _replay(options)
        say("\n".join(look().to_lines()))
        say(f"\nSeed {options.seed}; {options.cases:,} cases of each kind; scratch in {options.scratch}.")
        faults = [fault for part in options.parts for fault in _run(part, options)]
    except CannotMeasure as e:
        sys.stderr.write(f"cannot fuzz: {e}\n")
        return 2
    say("\n### Wrong\n")
    for fault in faults:
        say(f"- {fault}")
    say(f"{len(faults)} faults." if faults else "Nothing: no 5xx, no hang, no growth.")
    return 1 if faults else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=5000, help="Of each kind. Default: %(default)d.")
    parser.add_argument("--seed", type=int, default=1, help="Of all data. Default: %(default)d.")
    parser.add_argument("--folder", type=Path, help="The installation to serve; two toy models without it.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="What to do. Default: all.")
    parser.add_argument("--no-keys", action="store_true", help="Ask for no API keys.")
    parser.add_argument("--brief", action="store_true", help="Leave out what is only to be followed up: for README.md.")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="Send a case that failed again, and nothing else.")
    scratch = Path(tempfile.gettempdir()) / "gauntlet-fuzz"
    parser.add_argument("--scratch", type=Path, default=scratch, help="Made anew. Default: %(default)s.")
    return parser.parse_args(arguments)


def _run(part: str, options: argparse.Namespace) -> list[str]:
    """One part over a server of its own; gives what is wrong."""
    folder = None if options.folder is None else Folder(options.folder.resolve())
    with serve(options.scratch / part, folder, has_keys=not options.no_keys) as target:
        seeds = make_seeds(target.document())
        before = right_answers(target, seeds)
        progress(part)
        work = {"schema": _conform, "wire": _spoil, "expensive": _spend}[part]
        faults = work(target, options)
        faults += aftermath(target, before)
        say(f"\nAfterwards: {len(spooled(target.spool)):,} records in the spool; {target.memory_mb():.0f} MB.")
        return [f"{part}: {fault}" for fault in faults]


def _conform(target: Target, options: argparse.Namespace) -> list[str]:
    from tests.bench.fuzzing.schema import run_schema

    began, size = time.monotonic(), target.memory_mb()
    found = run_schema(target.url, cases=options.cases, seed=options.seed, key=target.key, limit_seconds=LIMIT_SECONDS)
    say(f"\n### schemathesis: {found.cases:,} requests in {time.monotonic() - began:.0f} s\n")
    say(_status_table(found.statuses))
    say(f"\nMemory {size:.0f} MB before, {target.memory_mb():.0f} MB after. 503*: no insight is named, as documented.")
    if not options.brief:
        say("\nWhere document and routes differ, as what the one allows is refused by the other:\n")
        for (label, what), asked in sorted(found.advice.items()):
            say(f"- {label}: {len(asked)} x {what}; such as `{asked[0][:300]}`")
    return [f"{label}: {len(asked)} x {what}: {asked[0]}" for (label, what), asked in found.faults.items()]


def _spoil(target: Target, options: argparse.Namespace) -> list[str]:
    began = time.monotonic()
    with watching(target.port) as late:
        result = run_cases(
            target.port,
            make_seeds(target.document()),
            run=options.seed,
            numbers=[*range(options.cases)] * 2,  # whatever the first round left behind, the second must not add to
            memory_mb=target.memory_mb,
            key=None if target.key is None else target.key.encode(),
            limit_seconds=LIMIT_SECONDS,
        )
    say(f"\n### Spoilt bytes: {len(result.spans):,} requests in {time.monotonic() - began:.0f} s\n")
    say(_status_table(result.statuses))
    say("\n503*: no insight is named, as documented. closed: the connection was ended, where the bytes were no HTTP.\n")
    _say_times(result, late, is_brief=options.brief)
    faults = [
        f"case {one.case.number} ({one.case.name}: {', '.join(one.case.what)}): {'; '.join(one.faults)}; "
        f"kept in {one.save(options.scratch / 'failed', options.seed)}"
        for one in result.failures
    ]
    if result.failed > len(result.failures):
        faults.append(f"{result.failed - len(result.failures)} more cases")
    slope = slope_mb(result.memory)
    return faults + ([f"memory grows by {slope:.1f} MB a thousand cases"] if slope > GROWTH_MB else [])


def _say_times(result: Result, late: Lateness, *, is_brief: bool) -> None:
    case, _, seconds = result.slowest
    say(f"Slowest answer: {seconds:.2f} s, case {case.number} ({case.name}: {', '.join(case.what)}).")
    worst = [] if is_brief else sorted(late.gaps, key=lambda gap: gap[0] - gap[1])[:_WORST]
    say(f"Longest that /livez waited: {late.longest_ms():.0f} ms.{' While these were under way:' if worst else ''}")
    for begin, end in worst:
        cases = "; ".join(f"{one.number} {one.name}: {', '.join(one.what)}" for one in result.during(begin, end))
        say(f"- {1000 * (end - begin):.0f} ms: {cases[:400]}")
    (first, small), (last, large) = (result.memory or [(0, 0.0)])[0], (result.memory or [(0, 0.0)])[-1]
    slope = slope_mb(result.memory)
    say(f"Memory: {small:.1f} MB after {first:,} cases, {large:.1f} after {last:,}; slope {slope:+.2f} MB a thousand.")


def _spend(target: Target, options: argparse.Namespace) -> list[str]:
    found: list[Held] = []
    for asked in make_expensive(target.document()):
        found.append(measure(target.port, target.pid, asked, key=target.key))
        progress(f"{found[-1].loop_ms:7.1f} ms  {asked.path}, {asked.content_type}: {asked.what}")
    say(f"\n### {len(found)} bodies that ask for much: how long nobody else was answered\n")
    head = ("held, ms", "answered in, s", "status", "answer, bytes", "route", "body", "of bytes")
    worst = sorted(found, key=lambda one: -one.loop_ms)
    say(table(head, [_held_row(one) for one in (worst[:_WORST] if options.brief else worst)]))
    return [
        f"{one.asked.path} answers {one.answer.status or one.answer.why} to {one.asked.what}"
        for one in found
        if one.answer.why or (one.answer.status >= 500 and b"no insight" not in one.answer.body)
    ]


def _held_row(one: Held) -> tuple[str, ...]:
    return (
        f"**{one.loop_ms:.0f}**" if one.loop_ms > _HELD_MS else f"{one.loop_ms:.0f}",
        f"{one.seconds:.2f}",
        str(one.answer.status or one.answer.why),
        f"{len(one.answer.body):,}",
        f"{one.asked.path} ({one.asked.content_type.rpartition('/')[2]})",
        one.asked.what,
        f"{len(one.asked.body):,}",
    )


def _status_table(statuses: Mapping[tuple[str, str], int]) -> str:
    """A row a route, a column a status."""
    columns = sorted({status for _, status in statuses})
    by_route: dict[str, Counter[str]] = {}
    for (route, status), count in statuses.items():
        by_route.setdefault(route, Counter())[status] += count
    total: Counter[str] = sum(by_route.values(), Counter())
    rows = [*sorted(by_route.items()), ("all", total)]
    return table(("route", *columns), [(route, *_counts(counts, columns)) for route, counts in rows])


def _counts(counts: Mapping[str, int], columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{counts[column]:,}" if counts.get(column) else "" for column in columns)


def _replay(options: argparse.Namespace) -> int:
    told = json.loads(options.replay.read_text())
    pieces = [base64.b64decode(piece) for piece in told["pieces"]]
    folder = None if options.folder is None else Folder(options.folder.resolve())
    with serve(options.scratch / "replay", folder, has_keys=False) as target:
        method = told["method"].encode("latin-1")
        answer = send(target.port, pieces, method=method, limit_seconds=LIMIT_SECONDS, stays=told["stays"])
        say(f"{answer.status or answer.why} {answer.content_type} in {answer.seconds:.2f} s\n{answer.body!r}")
        for fault in aftermath(target, {}):
            say(fault)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
