"""What is asked of `gauntlet score-file`, and what it reports."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bentos.errors import InvalidSetting
from service.files.sharing import Shard
from service.scoring.models import Identity


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for.

    Attributes:
        input: A .parquet, .csv or .csv.gz file with the contract's id and features; other columns are passed over.
        output: A .parquet file, or with several shards a folder of parts.
        shard: Which share of the rows.
        keep: Columns of the input to carry over to the output.
        bad_rows: Where rows go that the contract does not allow; None: the first such rows end it.
        restart: Score anew what is done or was begun.
        summary: Once the parts of all shards are there, check them and sum them up.
    """

    input: Path
    output: Path
    shard: Shard = field(default_factory=Shard)
    keep: tuple[str, ...] = ()
    bad_rows: Path | None = None
    restart: bool = False
    summary: bool = False


def columns_of(given: Sequence[str]) -> tuple[str, ...]:
    """The columns that `--keep` names: several in one text as a line of CSV has them, none in an empty one.

    So a manifest can hand over any number of them in one variable.

    Raises:
        InvalidSetting: A text is no line of CSV.

    >>> columns_of(["Churn", "tenure,contract", '"a name, with a comma"', ""])
    ('Churn', 'tenure', 'contract', 'a name, with a comma')
    """
    try:
        lines = [line for text in given for line in csv.reader([text], skipinitialspace=True, strict=True)]
    except csv.Error as e:
        raise InvalidSetting(f"--keep is {', '.join(given)!r}; it must be column names with commas between") from e
    return tuple(name for line in lines for name in line)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        output: The shard's finished file.
        shard: Which share of the rows it holds, `INDEX/COUNT`.
        model: Who scored.
        n_rows: Rows of the input that it stands for.
        n_scored: Rows that have an answer.
        n_set_aside: Rows that were bad.
        bad_rows: Where those are; None where a bad row ends it.
        n_done_before: Rows that an earlier run had done.
        seconds: How long this run took.
        was_finished: Whether there was nothing left to do.
        summary: Of all shards, where it was asked for and they are done.
    """

    output: Path
    shard: str
    model: Identity
    n_rows: int
    n_scored: int
    n_set_aside: int
    bad_rows: Path | None
    n_done_before: int
    seconds: float
    was_finished: bool
    summary: Summary | None = None

    def __str__(self) -> str:
        return self.headline if self.summary is None else f"{self.headline}\n{self.summary}"

    @property
    def headline(self) -> str:
        """What this run did, in one line."""
        if self.was_finished:
            return f"{self.output} is finished: {self._counts}; nothing was done"
        done_now = self.n_rows - self.n_done_before
        before = f", {self.n_done_before:,} of its rows in an earlier run" if self.n_done_before else ""
        pace = f"{self.seconds:.1f} s, {done_now / self.seconds:,.0f} rows/s"
        return f"{self.output}: {self._counts}{before} ({pace})"

    @property
    def _counts(self) -> str:
        aside = f", {self.n_set_aside:,} set aside in {self.bad_rows}" if self.n_set_aside else ""
        share = "" if self.shard == "0/1" else f" as shard {self.shard}"
        return f"{self.n_scored:,} rows scored by {self.model.name} version {self.model.version}{share}{aside}"


class ShardSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one shard's part holds, and what it cost.

    Attributes:
        shard: Which, `INDEX/COUNT`.
        part: The name of its file.
        digest: sha256 of that.
        first_row: The row of the input that it begins with, counted from 0.
        n_rows: Rows of the input that it stands for.
        n_scored: How many of them have an answer.
        n_set_aside: How many were bad.
        runs: How many processes were started on it; None where nothing is told of it.
        seconds: How long they worked together; None where nothing is told of it.
    """

    shard: str
    part: str
    digest: str
    first_row: int
    n_rows: int
    n_scored: int
    n_set_aside: int
    runs: int | None
    seconds: float | None

    def __str__(self) -> str:
        rows = f"rows {self.first_row:,} to {self.first_row + self.n_rows - 1:,}" if self.n_rows else "no rows"
        time = "time unknown" if self.seconds is None else f"{self.seconds:,.1f} s"
        again = f" in {self.runs} runs" if (self.runs or 1) > 1 else ""
        return f"shard {self.shard}: {rows}, {self.n_scored:,} scored, {self.n_set_aside:,} set aside, {time}{again}"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What all shards of an output did, which was checked against the input: each row is in it once.

    Attributes:
        output: The folder of parts.
        input: The file that was scored.
        input_digest: sha256 of that.
        input_bytes: Its size.
        model: Who scored.
        keep: Columns that are carried over.
        n_rows: Rows of the input.
        n_scored: Rows that have an answer.
        n_set_aside: Rows that were bad.
        bad_rows: Where those are; None where a bad row ends it.
        seconds: How long all processes worked together; None where it is not told of each shard.
        shards: What each of them did, in the order of the input.
    """

    schema_version: int = 1
    output: Path
    input: Path
    input_digest: str
    input_bytes: int
    model: Identity
    keep: tuple[str, ...]
    n_rows: int
    n_scored: int
    n_set_aside: int
    bad_rows: Path | None
    seconds: float | None
    shards: tuple[ShardSummary, ...]

    def __str__(self) -> str:
        return "\n  ".join([self.headline, *map(str, self.shards)])

    @property
    def headline(self) -> str:
        """All of it in one line."""
        aside = f" and {self.n_set_aside:,} set aside in {self.bad_rows}" if self.n_set_aside else ""
        return (
            f"{self.output} is complete: of {self.n_rows:,} rows of {self.input}, each there once, {self.n_scored:,} "
            f"scored by {self.model.name} version {self.model.version} ({self.model.digest}){aside}, "
            f"in {len(self.shards)} shards"
        )
