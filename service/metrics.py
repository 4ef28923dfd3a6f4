"""Counting what scoring does, in slots that every worker of an installation shares the sum of.

A count is an addition to a float64 in memory that outlives the process (`service.counters`). Whichever worker is asked
for `/metrics` adds up what all of them counted, the dead included. What is counted is the sum of the workers; how they
are is the worst of those alive: `gauntlet_ready` is 1 where all are ready, the revision is the lowest. Who plays which
role is what the worker that answers serves by; the process metrics are each worker's own, by a label.
"""

from __future__ import annotations

import logging
import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Reference
from service import metric_names as names
from service.counters.customers import CustomerCounter
from service.counters.exemplars import Exemplar, ExemplarKeeper, newest
from service.counters.file import CountsFile, open_counts
from service.counters.layout import Layout
from service.counters.open_metrics import open_metrics
from service.counters.places import places_of
from service.counters.processes import FAMILIES, process_lines
from service.counters.reading import SUFFIX, Counts, CountsReader
from service.counters.rows import RowCounter, SlotBounds, is_whole, settled
from service.counters.scoring import MODEL_BUCKETS, REQUEST_BUCKETS, CountedModel, expected_requests, scoring_layout
from service.counters.text import bucket_starts, renderer
from service.http.application import UNMATCHED
from service.http.messages import Route
from service.metric_states import WORST, ScoringState, contract_lines, own_states, role_lines, worst_lines
from service.prediction_log.records import Mode, Prediction, Variant
from service.scoring.blessings import MOST_CHECKS
from service.scoring.deciding import Scored
from service.scoring.models import Model, Models

__all__ = ["Metrics", "ScoringState", "series_bound"]

logger = logging.getLogger("gauntlet.metrics")

ALIVE_SECONDS = 5.0
"""A worker whose last heartbeat is older is not asked how it is. They beat four times a second."""

MANY = 16
"""From so many predictions on, numpy finds the cells of their probabilities sooner than a loop does."""


class _Counter:
    """A counter without labels as an attribute that is added to: `metrics.outcomes += 1`."""

    def __init__(self, name: str) -> None:
        self._key = (name, ())

    def __get__(self, metrics: Metrics, _owner: type[Metrics]) -> int:
        return int(metrics.slots[metrics.places.others[self._key]])

    def __set__(self, metrics: Metrics, value: int) -> None:
        metrics.slots[metrics.places.others[self._key]] = value


class Metrics:
    """What this worker counts, and what all of them counted. Nothing is counted before `open`.

    One thread counts at a time: an addition is a reading and a writing.

    Attributes:
        layout: Which slot counts what.
        slots: What this worker counted.
        places: Where in them each label combination is counted.
        outcomes: Outcomes accepted.
        treatments: Treatments accepted.
        judge_unanswered: Questions that the judge did not answer.
    """

    outcomes = _Counter(names.OUTCOMES)
    treatments = _Counter(names.TREATMENTS)
    judge_unanswered = _Counter(names.JUDGE_UNANSWERED)

    def __init__(self, state: Callable[[], ScoringState]) -> None:
        self._state = state
        self._lost = 0

    def open(self, folder: Path, worker: str, *, models: Models, routes: Sequence[Route]) -> None:
        """Begin to count, from where the last process of this name ended.

        Args:
            folder: Of all workers' counts.
            worker: This one's name.
            models: Everything that can be scored with.
            routes: Of both ports.
        """
        counted = [_counted(model, models.references[digest]) for digest, model in models.by_digest.items()]
        found = scoring_layout(models.contract, counted, [route.path for route in routes], expected_requests(routes))
        self._reader, self._render, self.layout = CountsReader(folder), renderer(found.layout), found.layout
        self.places = places_of(found, counted)
        self._contracts = tuple(contract_lines(models))
        self._features, self._start = found.features, found.layout.starts[found.features.name]
        at = found.layout.starts[found.exemplars.name]
        self._exemplars_at = slice(at, at + found.exemplars.size)
        self._bucket_starts = bucket_starts(found.request_seconds)
        self._bounds = SlotBounds(found.layout.size, self._features, self._start, self._exemplars_at)
        self._count_in(open_counts(folder, worker, digest=found.layout.digest, slots=found.layout.size))
        if self._file.has_died:
            self.count(names.WORKER_DEATHS)

    def close(self) -> None:
        """End cleanly. The sums stay."""
        self._tell()
        self._file.close()

    def count_request(
        self, route: str, method: str, status: int, seconds: float, prediction_id: str | None = None
    ) -> None:
        """Count one answered request.

        Args:
            route: Its path in the table of routes; anything else counts as unmatched.
            method: As it was sent.
            status: As it was answered.
            seconds: What it took.
            prediction_id: What was answered, of many the first; None where nothing was predicted.
        """
        slots, places = self.slots, self.places
        place = places.requests.get((route, method, status))
        slots[places.unexpected(route, method, status) if place is None else place] += 1
        timed = places.request_seconds.get(route) or places.request_seconds[UNMATCHED]
        bucket = timed.start + bisect_left(REQUEST_BUCKETS, seconds)
        slots[bucket] += 1
        slots[timed.total] += seconds
        if prediction_id is not None and bucket not in self._exemplars.kept:
            self._exemplars.keep(bucket, Exemplar(prediction_id, seconds, time.time()))

    def count_call(self, model: Model, rows: int, seconds: float) -> None:
        """Count one call of a model, of however many rows."""
        slots, digest = self.slots, model.identity.digest
        timed = self.places.calls[digest]
        slots[timed.start + bisect_left(MODEL_BUCKETS, seconds)] += 1
        slots[timed.total] += seconds
        slots[self.places.rows[digest]] += rows

    def count_scored(self, scored: Sequence[Scored], rows: NDArray[np.float32]) -> None:
        """Count predictions, with the features and probabilities of those that are live.

        Args:
            scored: What was answered.
            rows: The encoded rows of the same, in the same order, shape (len(scored), width).
        """
        slots, places = self.slots, self.places
        live: list[Prediction] = []
        customers: list[str] = []
        for one in scored:
            answer, record = one.answer, one.prediction
            slots[places.predictions[answer.variant, answer.model.digest, answer.label, record.purpose]] += 1
            if one.failed is not None:
                slots[places.failures[one.failed.identity.digest]] += 1
            if record.purpose == "live":
                live.append(record)
                slots[places.risks[answer.variant, answer.model.digest, answer.risk]] += 1
                if record.customer_id is not None:
                    customers.append(record.customer_id)
        if len(live) < MANY:
            for record in live:
                self._count_probabilities(record)
        else:
            self._count_many_probabilities(live)
        self._customers.count(customers)
        if len(live) == len(scored):
            self._rows.count(rows)
        elif live:
            self._rows.count(rows[[i for i, one in enumerate(scored) if one.prediction.purpose == "live"]])

    def count(self, name: str, *labels: str, n: int = 1) -> None:
        """Count something else by its labels' values, all of which were laid out.

        Raises:
            KeyError: There is no such counter, or no such label value.
        """
        self.slots[self.places.others[name, labels]] += n

    def beat(self) -> None:
        """Say that this worker lives and how it is; the event loop does it four times a second.

        Where somebody deleted its file or wrote nonsense into it, that is mended.
        """
        self._tell()

    def exposition(self, *, is_open: bool = False) -> bytes:
        """Everything of all workers in Prometheus's text form, or in OpenMetrics's, which has exemplars."""
        state = self._tell()
        workers = self._workers()
        sums = np.sum([self._settled(worker) for worker in workers], axis=0).tolist()
        now = time.monotonic()
        alive = [worker for worker in workers if _is_alive(worker, now)]
        lines = [*self._render(sums), *self._contracts, *worst_lines(alive), *role_lines(state)]
        lines += process_lines([(worker.name, worker.pid) for worker in alive])
        if is_open:
            lines = [*open_metrics(lines, self._newest(workers))]
        return ("\n".join(lines) + "\n").encode()

    def _count_probabilities(self, record: Prediction) -> None:
        slots, scores = self.slots, self.places.scores
        probability = record.champion_probability
        if probability is not None:
            graded = scores["champion"][record.champion]
            slots[graded.start + bisect_right(graded.edges, probability)] += 1
            slots[graded.total] += probability
        probability = record.challenger_probability
        if probability is not None and record.challenger is not None:
            graded = scores["challenger"][record.challenger]
            slots[graded.start + bisect_right(graded.edges, probability)] += 1
            slots[graded.total] += probability

    def _count_many_probabilities(self, records: Sequence[Prediction]) -> None:
        """As `_count_probabilities` for each, all of a model in a role at once."""
        told: dict[tuple[Variant, str], list[float]] = {}
        for record in records:
            if record.champion_probability is not None:
                told.setdefault(("champion", record.champion), []).append(record.champion_probability)
            if record.challenger_probability is not None and record.challenger is not None:
                told.setdefault(("challenger", record.challenger), []).append(record.challenger_probability)
        for (variant, digest), probabilities in told.items():
            graded = self.places.scores[variant][digest]
            cells = np.searchsorted(graded.edges, probabilities, side="right")
            for cell, n in enumerate(np.bincount(cells).tolist()):
                self.slots[graded.start + cell] += n
            self.slots[graded.total] += sum(probabilities)

    def _workers(self) -> list[Counts]:
        """All in one order, whoever answers: sums of seconds are others in another, and would seem to fall."""
        found = self._reader.whole_counts(self.layout.digest, self.layout.size, partial(is_whole, self._start))
        return list({one.name: one for one in (*found, self._file.read())}.values())  # its own in its file's place

    def _newest(self, workers: Sequence[Counts]) -> dict[str, Exemplar]:
        """The newest exemplar of each bucket, by the bucket's line up to its value; dead workers' too."""
        kept = [memoryview(worker.slots).cast("d")[self._exemplars_at].tobytes() for worker in workers]
        found, starts = newest(kept, time.time()), self._bucket_starts
        return {starts[place]: one for place, one in found.items() if place in starts}

    def _settled(self, worker: Counts) -> NDArray[np.float64]:
        """What a worker counted; a slot that holds what cannot be is worth 0, as nobody may be left to mend it."""
        slots = bytearray(worker.slots)
        bad = self._bounds.mend(np.frombuffer(slots, dtype=np.float64))
        found = settled(self._features, self._start, bytes(slots))
        found[self._exemplars_at] = 0.0
        bad += self._bounds.mend(found)  # again, as rows that waited may have been nonsense
        if bad:
            self._reader.tell(f"{worker.name}{SUFFIX}", "some of its counts cannot be, and are worth 0")
        return found

    def _count_in(self, file: CountsFile) -> None:
        self._file, self.slots = file, file.slots
        self._mend()
        self._rows = RowCounter(self._features, self.slots[self._start : self._start + self._features.size])
        first = self.layout.starts[names.REQUEST_SECONDS]
        self._exemplars = ExemplarKeeper(self.slots[self._exemplars_at], first)
        start = self.layout.starts[names.CUSTOMER_ROWS]
        self._customers = CustomerCounter(self.slots[start : start + 1 + names.HASH_BITS])

    def _mend(self) -> None:
        bad = self._bounds.mend(np.frombuffer(self.slots.cast("B"), dtype=np.float64))
        if bad:
            logger.error("counts_mended", extra={"file": str(self._file.path), "slots": bad})

    def _tell(self) -> ScoringState:
        renewed = self._file.renew()
        if renewed is not None:
            self._count_in(renewed)
        self._mend()
        self._customers.settle()
        self._exemplars.beat()
        state = self._state()
        for place, value in enumerate(own_states(state)):
            self._file.say(place, value)
        self.count(names.SPOOL_LOST, n=state.spool_lost - self._lost)
        self._lost = state.spool_lost
        self._file.beat(time.monotonic())
        return state


def series_bound(layout: Layout, models: int, workers: int) -> int:
    """How many samples an exposition can at most hold, whatever is asked of the service.

    Args:
        layout: What is counted.
        models: How many the Bento carries.
        workers: How many are alive at most.
    """
    states = len(WORST) + 1 + len(get_args(Mode)) + 3  # the worst, workers, modes; split, keys, build
    bands = sum(family.size for family in layout.families if family.name == names.RISKS) // len(get_args(Variant))
    # Who each is, its cut, three of its blessing and four of each check in it, and where its risk bands begin.
    own = (5 + 4 * MOST_CHECKS) * models + bands
    return layout.bound + states + own + FAMILIES * workers


def _counted(model: Model, reference: Reference) -> CountedModel:
    risks = tuple(band.name for band in model.contract.risk_bands)
    return CountedModel(str(model.identity), model.digest, reference, risks)


def _is_alive(worker: Counts, now: float) -> bool:
    if not worker.pid or not 0 <= now - worker.beat <= ALIVE_SECONDS:
        return False
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and is another user's
        pass
    return True
