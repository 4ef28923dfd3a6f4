"""Insight's workers: a row each at a time, within a time; one that takes longer or dies is replaced by another.

A worker is a process, because nothing else ends work that SHAP has begun. A row whose worker died gets a second one, as
explaining changes nothing; a row that costs two their lives is given up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bentos import errors
from bentos.errors import GauntletError, Unavailable
from service.insight.explanation import Explanation
from service.insight.frames import HEAD, LONGEST, Ask, Told, frame
from service.insight.priority import stand_back

logger = logging.getLogger("gauntlet.insight")

MOST_DEATHS = 2
LOOKS = 20
"""How often a worker is looked at within the time that a row may take."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long things may take, in seconds.

    Attributes:
        row: Work on one row, as processor time of its worker; and how long a worker may get none before it hangs.
        answer: From asking to the answer, the queue included.
        start: A worker's start.
    """

    row: float
    answer: float
    start: float


@dataclass
class _Job:
    ask: Ask
    answer: asyncio.Future[Explanation]
    deaths: int = 0


class Worker:
    """One process that explains."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, command: Sequence[str], code: Path) -> Worker:
        """Start one; it is not ready before `hear` gave its first word."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=code,
            env={**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is for this process, which ends its workers
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def processor_seconds(self) -> float:
        """How long processors have worked for it, all its threads together.

        Raises:
            OSError: It is gone.
        """
        # The name, in brackets, may hold anything; user and system time are the 14th and 15th field, see proc(5).
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def hear(self) -> Told:
        """Its next word.

        Raises:
            OSError: It died, or says what cannot be understood.
        """
        assert self._process.stdout is not None  # noqa: S101  # it was asked for
        try:
            (length,) = HEAD.unpack(await self._process.stdout.readexactly(HEAD.size))
            if length > LONGEST:
                raise OSError(f"a worker says {length} bytes at once")
            return msgspec.msgpack.decode(await self._process.stdout.readexactly(length), type=Told)
        except (asyncio.IncompleteReadError, msgspec.MsgspecError) as e:
            raise OSError("a worker died or cannot be understood") from e

    async def ask(self, asked: Ask) -> Told:
        """Let it explain a row.

        Raises:
            OSError: As `hear`.
        """
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(frame(asked))
        await self._process.stdin.drain()
        return await self.hear()

    async def wait(self) -> int:
        """Wait until it is dead."""
        return await self._process.wait()

    async def end(self) -> int:
        """Kill it if it lives; gives its exit code."""
        if self._process.returncode is None:
            self._process.kill()
        return await self._process.wait()


class Pool:
    """Workers that are kept running.

    Attributes:
        failure: Why the last worker could not start; None where it could.
        deaths: How many workers ended that were not told to.
    """

    def __init__(
        self,
        command: Sequence[str],
        code: Path,
        *,
        size: int,
        limits: Limits,
        niceness: int = 0,
        at_once: int | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            command: Of one worker.
            code: The folder that its code comes from.
            size: How many.
            limits: How long things may take.
            niceness: By how much workers stand back behind this process, as `nice` counts.
            at_once: How many of them work at a time; None: all.
        """
        self._niceness = niceness
        self._turns = asyncio.Semaphore(at_once or size)
        self.failure: str | None = None
        self.deaths = 0
        self._command, self._code = command, code
        self._size, self._limits = size, limits
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._ready: set[Worker] = set()
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> list[int]:
        """Of the workers that are ready."""
        return sorted(worker.pid for worker in self._ready)

    @property
    def waiting(self) -> int:
        """How many rows wait for a worker."""
        return self._jobs.qsize()

    async def start(self) -> None:
        """Begin to start workers; requests wait for them."""
        self._keepers = [asyncio.create_task(self._keep()) for _ in range(self._size)]

    async def stop(self) -> None:
        """End every worker."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def explain(self, asked: Ask) -> Explanation:
        """Let a worker explain a row.

        Raises:
            Unavailable: No worker explained it in time, or two died over it.
            GauntletError: What the worker says is wrong with it.
        """
        job = _Job(asked, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        try:
            async with asyncio.timeout(self._limits.answer):
                return await job.answer
        except TimeoutError as e:
            why = f": {self.failure}" if self.failure and not self._ready else ""
            raise Unavailable(f"no worker of insight gave an answer within {self._limits.answer:g} s{why}") from e

    async def _keep(self) -> None:
        """Keep one worker running, with a growing pause where it cannot start."""
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            worker, code = None, None
            try:
                worker = await self._started()
                pause = 0.0
                await self._serve(worker)
            except Unavailable as e:
                pause = min(max(2 * pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
                self.failure = str(e)
            finally:
                if worker is not None:
                    self._ready.discard(worker)
                    code = await worker.end()
            self.deaths += 1
            logger.error("worker_ended", extra={"exit_code": code, "reason": self.failure, "pause_seconds": pause})

    async def _started(self) -> Worker:
        """A worker that has loaded its models.

        Raises:
            Unavailable: It cannot start.
        """
        try:
            worker = await Worker.start(self._command, self._code)
        except OSError as e:
            raise Unavailable(f"no worker can be started: {e.strerror or e}") from e
        try:
            await self._greet(worker)
        except BaseException:
            await worker.end()
            raise
        stand_back(worker.pid, self._niceness)  # not before: on a busy machine it would hardly ever be ready
        self.failure = None
        self._ready.add(worker)
        logger.info("worker_ready", extra={"pid": worker.pid})
        return worker

    async def _greet(self, worker: Worker) -> None:
        """Wait for a worker's first word.

        Raises:
            Unavailable: It cannot start.
        """
        try:
            async with asyncio.timeout(self._limits.start):
                told = await worker.hear()
        except TimeoutError as e:
            raise Unavailable(f"a worker was not ready within {self._limits.start:g} s") from e
        except OSError as e:
            raise Unavailable("a worker died before it was ready; the log says of what") from e
        if told.error is not None:
            raise Unavailable(told.reason)

    async def _serve(self, worker: Worker) -> None:
        """Hand rows to a worker until it dies or is to be killed."""
        died = asyncio.create_task(worker.wait())
        try:
            while (job := await self._next(died)) is not None:
                async with self._turns:
                    if not job.answer.done() and not await self._work(worker, job):
                        return
        finally:
            died.cancel()

    async def _next(self, died: asyncio.Task[int]) -> _Job | None:
        """The next row; None where the worker is dead. An idle worker's death is seen at once, not by the next row."""
        getting, job = asyncio.create_task(self._jobs.get()), None
        try:
            await asyncio.wait({getting, died}, return_when=asyncio.FIRST_COMPLETED)
            if not died.done():
                job = getting.result()
            return job
        finally:
            if job is None and not getting.cancel():  # it came together with the death
                self._jobs.put_nowait(getting.result())

    async def _work(self, worker: Worker, job: _Job) -> bool:
        """One row by one worker; gives whether the worker can go on."""
        asking = asyncio.create_task(worker.ask(job.ask))
        try:
            if (slow := await self._too_slow(worker, asking)) is not None:
                _settle(job, Unavailable(slow))
                return False
            told = await asking
        except OSError:
            job.deaths += 1
            if job.deaths < MOST_DEATHS:
                self._jobs.put_nowait(job)
            else:
                _settle(job, Unavailable(f"{job.deaths} workers died over this row"))
            return False
        finally:
            asking.cancel()
        _settle(job, told.explanation or _error_of(told))
        return True

    async def _too_slow(self, worker: Worker, asking: asyncio.Task[Told]) -> str | None:
        """Wait until a worker said something: None; or why it is not waited for any longer.

        A worker that stands back on a busy machine is not slow, it waits for its turn: so its processor time counts,
        and other time only while it gets none at all, or once nobody can be waiting for its answer.

        Raises:
            OSError: It is gone.
        """
        most = self._limits.row
        now = asyncio.get_running_loop().time
        begun, first = now(), worker.processor_seconds
        seen, seen_at = first, begun
        while not (await asyncio.wait({asking}, timeout=most / LOOKS))[0]:
            if (spent := worker.processor_seconds) > seen:
                seen, seen_at = spent, now()
            if spent - first > most:
                return f"explaining this row took longer than {most:g} s of processor time"
            if now() - seen_at > most:
                return f"the worker hung over this row for {most:g} s"
            if now() - begun > self._limits.answer:
                return "nobody waits for this row any more"
        return None


def processors_for_workers() -> int:
    """How many processors may explain at a time: all that this process may use but one, which a score finds free."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def _settle(job: _Job, found: Explanation | GauntletError) -> None:
    if job.answer.done():  # nobody waits any more
        return
    if isinstance(found, GauntletError):
        job.answer.set_exception(found)
    else:
        job.answer.set_result(found)


def _error_of(told: Told) -> GauntletError:
    kind = getattr(errors, told.error or "", GauntletError)
    is_known = isinstance(kind, type) and issubclass(kind, GauntletError) and not issubclass(kind, errors.WithProblems)
    return kind(told.reason) if is_known else GauntletError(told.reason)
