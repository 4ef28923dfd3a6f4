"""What is asked of `gauntlet score-file`, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

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
    """

    input: Path
    output: Path
    shard: Shard = field(default_factory=Shard)
    keep: tuple[str, ...] = ()
    bad_rows: Path | None = None
    restart: bool = False


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

    def __str__(self) -> str:
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
