"""Files: `gauntlet score-file` beside plain onnxruntime on rows that are encoded already, all in one run.

`python -m tests.bench.score_file`; README.md beside this file says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bentos.artifact import Artifact, Encoder, Numeric
from bentos.folder import Folder
from service.files.chunks import BATCH_ROWS
from service.scoring.experiment import first_experiment, write_experiment
from tests.bench.installation import DATA, Installation, default_folder, prepare
from tests.bench.machine import ROOT, SERVER_CORE, CannotMeasure, check, look, progress, say

SIZES = (100_000, 1_000_000)
ROUNDS = 3
SHARDS = 2
BATCHES = (1, 64, 256, 1024, 4096, 8192, 16_384, 65_536)
_NAMES = ("forest", "boosting")
_TRIAL_ROWS = 65_536
_GROUP_ROWS = 131_072
_SEED = 20260101
_WATCHED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""Starts a process and says what it used. It is small itself: what is started inherits the peak of its starter."""


@dataclass(frozen=True)
class Run:
    """What one process cost.

    Attributes:
        wall_seconds: From its start to its end, interpreter and libraries included.
        cpu_seconds: Processor time of it all.
        own_seconds: What the command itself reports: without starting.
        peak_mb: The most memory that was resident.
    """

    wall_seconds: float
    cpu_seconds: float
    own_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Pair:
    """score-file and its floor, one after the other on one core.

    Attributes:
        ours: The command.
        floor_seconds: onnxruntime alone, on as many encoded rows.
        floor_cpu_seconds: The same in processor time.
    """

    ours: Run
    floor_seconds: float
    floor_cpu_seconds: float

    @property
    def share(self) -> float:
        """The command's rows a second of the floor's, both without what starts once."""
        return self.floor_seconds / self.ours.own_seconds

    @property
    def cpu_share(self) -> float:
        """The floor's processor time of the whole command's, starting included: neighbours disturb it less."""
        return self.floor_cpu_seconds / self.ours.cpu_seconds


class Bench:
    """Everything that is measured, in one scratch folder."""

    def __init__(self, site: Installation, scratch: Path) -> None:
        self._site = site
        self._scratch = scratch
        self._table = _read_customers(site)
        columns = {feature.name: self._table[feature.name].to_pylist() for feature in site.contract.features}
        self._matrix = Encoder(site.contract).encode_columns(columns)
        self._folders = tuple(
            _folder_with_champion(site, scratch / name, artifact)
            for name, artifact in zip(_NAMES, site.artifacts, strict=True)
        )

    def speed(self, sizes: Sequence[int], rounds: int) -> Iterator[str]:
        """Rows a second beside the floor's, and memory, by model and number of rows."""
        yield "| model | rows | onnxruntime alone, rows/s | score-file, rows/s | share | of processor time | peak MB |"
        yield "|---|---|---|---|---|---|---|"
        for name, artifact, folder in zip(_NAMES, self._site.artifacts, self._folders, strict=True):
            for n_rows in sizes:
                path, pairs = self._file(n_rows), []
                for number in range(rounds):
                    progress(f"{name}, {n_rows:,} rows, round {number + 1} of {rounds}")
                    floor = self._floor(artifact, n_rows)
                    pairs.append(Pair(score(folder, path, self._output()), *floor))
                yield _speed_line(name, n_rows, pairs)

    def batches(self) -> Iterator[str]:
        """Rows a second of onnxruntime by the number of rows that it gets at once."""
        yield "| rows a batch | " + " | ".join(f"{size:,}" for size in BATCHES) + " |"
        yield "|---" * (len(BATCHES) + 1) + "|"
        rows = self._rows(_TRIAL_ROWS)
        for name, artifact in zip(_NAMES, self._site.artifacts, strict=True):
            progress(f"{name}, sizes of a batch")
            scorer, found = artifact.scorer(), []
            for size in BATCHES:
                sample = rows if size > 1 else rows[:8192]
                began = time.perf_counter()
                for start in range(0, len(sample), size):
                    scorer.score(sample[start : start + size])
                found.append(len(sample) / (time.perf_counter() - began))
            yield f"| {name}, rows/s | " + " | ".join(f"{rate:,.0f}" for rate in found) + " |"

    def forms(self, n_rows: int) -> Iterator[str]:
        """Rows a second by the kind of the input, with the faster model, of which reading is the larger part."""
        yield "| boosting, input | rows/s | peak MB |"
        yield "|---|---|---|"
        whole = self._file(n_rows)
        one_group, tiny = self._scratch / "one-group.parquet", self._scratch / "tiny-groups.parquet"
        plain, packed = self._scratch / "in.csv", self._scratch / "in.csv.gz"
        table = pq.read_table(whole)
        pq.write_table(table, one_group, row_group_size=n_rows)
        pq.write_table(table, tiny, row_group_size=1000)
        pyarrow.csv.write_csv(table, plain)
        with pa.CompressedOutputStream(str(packed), "gzip") as file:
            pyarrow.csv.write_csv(table, file)
        for what, path in (
            (f"Parquet, row groups of {_GROUP_ROWS:,}", whole),
            ("Parquet, one row group", one_group),
            ("Parquet, row groups of 1,000", tiny),
            ("CSV", plain),
            ("CSV, gzipped", packed),
        ):
            progress(what)
            run = score(self._folders[1], path, self._output())
            yield f"| {what} | {n_rows / run.own_seconds:,.0f} | {run.peak_mb:.0f} |"

    def shards(self, n_rows: int, count: int) -> Iterator[str]:
        """How long several shards take at once, on all cores, beside one that does it all."""
        progress(f"{count} shards of {n_rows:,} rows at once")
        path, output = self._file(n_rows), self._scratch / "parts.parquet"
        alone = score(self._folders[0], path, self._output())
        began = time.monotonic()
        started = [_start(self._folders[0], path, output, "--shard", f"{i}/{count}") for i in range(count)]
        for process in started:
            _finish(process)
        together = time.monotonic() - began
        yield (
            f"Forest, {n_rows:,} rows, starting included: one process {alone.wall_seconds:.1f} s, "
            f"{count} shards at once {together:.1f} s, {alone.wall_seconds / together:.2f} times as fast."
        )

    def _floor(self, artifact: Artifact, n_rows: int) -> tuple[float, float]:
        """Wall and processor seconds of onnxruntime alone."""
        scorer, rows = artifact.scorer(), self._rows(_TRIAL_ROWS)
        wall, cpu = time.perf_counter(), time.process_time()
        for first in range(0, n_rows, BATCH_ROWS):
            start = first % _TRIAL_ROWS
            scorer.score(rows[start : start + min(BATCH_ROWS, n_rows - first)])
        return time.perf_counter() - wall, time.process_time() - cpu

    def _rows(self, n_rows: int) -> NDArray[np.float32]:
        return self._matrix[np.random.default_rng(_SEED).integers(0, len(self._matrix), n_rows)]

    def _file(self, n_rows: int) -> Path:
        """Customers sampled with replacement, each with an id of its own."""
        path = self._scratch / f"in-{n_rows}.parquet"
        if path.exists():
            return path
        rng = np.random.default_rng(_SEED)
        id_column = self._site.contract.id
        with pq.ParquetWriter(path, self._table.schema) as writer:
            for start in range(0, n_rows, _GROUP_ROWS):
                size = min(_GROUP_ROWS, n_rows - start)
                rows = self._table.take(pa.array(rng.integers(0, self._table.num_rows, size)))
                ids = pa.array([f"{number:07d}-BENCH" for number in range(start, start + size)])
                writer.write_table(rows.set_column(rows.column_names.index(id_column), id_column, ids))
        return path

    def _output(self) -> Path:
        path = self._scratch / "out.parquet"
        path.unlink(missing_ok=True)
        return path


def score(folder: Folder, path: Path, output: Path) -> Run:
    """Run `gauntlet score-file` as a process of its own.

    Raises:
        CannotMeasure: It failed.
    """
    began = time.monotonic()
    return _finish(_start(folder, path, output), began)


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    options = _parse(arguments)
    try:
        check()
        site = prepare(options.folder)
        with tempfile.TemporaryDirectory(prefix="files-", dir=site.scratch) as name:
            bench = Bench(site, Path(name))
            for line in (*look().to_lines(), f"Rows are sampled from {site.source}, each with an id of its own.", ""):
                say(line)
            with _on_one_core():
                for lines in (
                    bench.speed(options.rows, options.rounds),
                    bench.batches(),
                    bench.forms(options.rows[0]),
                ):
                    for line in lines:
                        say(line)
                    say()
            for line in bench.shards(options.rows[-1], SHARDS):
                say(line)
    except CannotMeasure as e:
        progress(str(e))
        return 1
    return 0


def _start(folder: Folder, path: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gauntlet", "score-file", str(path), str(output), "--json", *options]
    command = [sys.executable, "-c", _WATCHED, *command, "--folder", str(folder.path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _finish(process: subprocess.Popen[bytes], began: float | None = None) -> Run:
    """Wait for a process, and read what it reports and what it used."""
    said, told = process.communicate()
    wall = 0.0 if began is None else time.monotonic() - began
    if process.returncode:
        raise CannotMeasure(f"gauntlet score-file failed: {told.decode()[-500:]}")
    cpu_seconds, peak_kb = told.split()[-2:]
    return Run(wall, float(cpu_seconds), float(json.loads(said)["seconds"]), float(peak_kb) / 1024)


def _speed_line(name: str, n_rows: int, pairs: Sequence[Pair]) -> str:
    floor = n_rows / median(pair.floor_seconds for pair in pairs)
    ours = n_rows / median(pair.ours.own_seconds for pair in pairs)
    share, cpu_share = median(pair.share for pair in pairs), median(pair.cpu_share for pair in pairs)
    peak = max(pair.ours.peak_mb for pair in pairs)
    return f"| {name} | {n_rows:,} | {floor:,.0f} | {ours:,.0f} | {share:.2f} | {cpu_share:.2f} | {peak:.0f} |"


def _read_customers(site: Installation) -> pa.Table:
    """The public file with the types that a warehouse would give it, else the installation's own customers."""
    contract = site.contract
    if not DATA.is_file():
        columns: dict[str, list[Any]] = {contract.id: [customer.customer_id for customer in site.customers]}
        for feature in contract.features:
            columns[feature.name] = [customer.features[feature.name] for customer in site.customers]
        return pa.table(columns)
    texts = dict.fromkeys((contract.id, contract.target, *(f.name for f in contract.features)), pa.string())
    table = pyarrow.csv.read_csv(DATA, convert_options=pyarrow.csv.ConvertOptions(column_types=texts))
    for feature in contract.features:
        if isinstance(feature, Numeric):
            kind = pa.int64() if feature.integer else pa.float64()
            values = [None if text in feature.missing else text for text in table[feature.name].to_pylist()]
            numbers = pa.array(values, pa.string()).cast(kind)
            table = table.set_column(table.column_names.index(feature.name), feature.name, numbers)
    return table


def _folder_with_champion(site: Installation, path: Path, artifact: Artifact) -> Folder:
    """A folder that serves the installation's Bento with one of its models as champion."""
    folder = Folder(path)
    path.mkdir()
    folder.bento.symlink_to(site.folder.bento.resolve())
    folder.bentoml.symlink_to(site.folder.bentoml.resolve())
    write_experiment(folder.experiment, first_experiment(artifact.digest, now=datetime.now(UTC)))
    return folder


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Keep this process, and those that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.score_file", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="The installation. Default: %(default)s.")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=SIZES, help="Of the files, rising. Default: %(default)s."
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="Default: %(default)d.")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
