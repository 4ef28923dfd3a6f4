"""Sends cases to a server from several threads at once, and keeps what is wrong and what the server became."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.fuzzing.cases import Case, make_case
from tests.bench.fuzzing.judging import faults_of, is_without_insight
from tests.bench.fuzzing.seeds import Seed
from tests.bench.fuzzing.wire import Answer, send

THREADS = 6
WARM_UP = 500
"""Cases before memory is looked at: by then everything that is made once has been made."""

_FAULTS_KEPT = 50


@dataclass(frozen=True)
class Failure:
    """A case whose answer must not be."""

    case: Case
    answer: Answer
    faults: tuple[str, ...]

    def save(self, folder: Path, run: int) -> Path:
        """Write everything that is needed to send it again."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"case-{run}-{self.case.number}.json"
        told = {
            "seed": run,
            "case": self.case.number,
            "from": self.case.name,
            "what": self.case.what,
            "faults": self.faults,
            "status": self.answer.status,
            "answer": self.answer.body[:2000].decode("latin-1"),
            "method": self.case.method.decode("latin-1"),
            "stays": stays(self.case),
            "pieces": [base64.b64encode(piece).decode() for piece in self.case.pieces],
        }
        path.write_text(json.dumps(told, indent=2) + "\n")
        return path


@dataclass
class Result:
    """What a run found.

    Attributes:
        statuses: By seed's name and status; `closed` where there was none, `503*` where no insight was named.
        failures: Up to fifty; `failed` counts them all.
        spans: Case, begin and seconds of each request, on `time.monotonic`.
        memory: Cases that were done and the server's memory in MB, from the warm-up on.
    """

    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    failed: int = 0
    spans: list[tuple[Case, float, float]] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)

    @property
    def slowest(self) -> tuple[Case, float, float]:
        """The request that took longest."""
        return max(self.spans, key=lambda span: span[2])

    def during(self, since: float, until: float) -> list[Case]:
        """Cases that were under way in a stretch of time."""
        return [case for case, began, seconds in self.spans if began <= until and began + seconds >= since]


def run_cases(
    port: int,
    seeds: Sequence[Seed],
    *,
    run: int,
    numbers: Sequence[int],
    memory_mb: Callable[[], float],
    key: bytes | None = None,
    limit_seconds: float = 20.0,
    threads: int = THREADS,
    look_each: int = 100,
) -> Result:
    """Send cases and judge every answer.

    Args:
        port: Of the server.
        seeds: What mutations start from.
        run: The run's seed.
        numbers: Of its cases.
        memory_mb: The server's, now.
        key: An API key, where keys are asked for.
        limit_seconds: Within which every request must be answered.
        threads: Requests at once.
        look_each: Cases between two looks at memory.
    """
    result, lock = Result(), threading.Lock()

    def one(number: int) -> None:
        case = make_case(seeds, run, number, key)
        answer = send(port, case.pieces, method=case.method, limit_seconds=limit_seconds, stays=stays(case))
        faults = tuple(faults_of(case, answer))
        with lock:
            _keep(result, case, answer, faults)
            if len(result.spans) % look_each == 0 and len(result.spans) >= WARM_UP:
                result.memory.append((len(result.spans), memory_mb()))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, numbers))
    return result


def stays(case: Case) -> bool:
    """Whether the client waits with its connection open: one whose bytes are no whole request does not, mostly."""
    return case.has_answer or case.is_open


def slope_mb(memory: Sequence[tuple[int, float]]) -> float:
    """Growth of memory in MB a thousand cases: a least-squares line through the second half of what was seen.

    Args:
        memory: Cases and MB.
    """
    late = memory[len(memory) // 2 :]
    if len(late) < 2:
        return 0.0
    middle = sum(cases for cases, _ in late) / len(late)
    mean = sum(size for _, size in late) / len(late)
    spread = sum((cases - middle) ** 2 for cases, _ in late)
    return 1000 * sum((cases - middle) * (size - mean) for cases, size in late) / spread


def _keep(result: Result, case: Case, answer: Answer, faults: tuple[str, ...]) -> None:
    status = "503*" if is_without_insight(answer) else str(answer.status or answer.why)
    result.statuses[(case.name, status)] += 1
    slim = Case(case.number, case.name, case.what, case.method, ())
    result.spans.append((slim, answer.began, answer.seconds))
    if faults:
        result.failed += 1
        if len(result.failures) < _FAULTS_KEPT:
            result.failures.append(Failure(case, answer, faults))
