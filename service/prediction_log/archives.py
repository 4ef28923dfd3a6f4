"""The archive: what left the store by age, as Parquet files that DuckDB, Spark or Trino read, one a table and month.

```
<archive>/predictions-2026-01.parquet    the store's rows with ids of that month, in the order of their key
          outcomes-2026-01.parquet
          treatments-2026-01.parquet
```

A month that grows (part of it left, or rows came late) is merged into a new file beside the old one, each key once, and
read back before it takes the place. So whoever dies in the middle leaves the old file or the new one, and doing it
again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from bentos.errors import InvalidSetting
from service.prediction_log.ages import name_of
from service.prediction_log.segments import sync_folder
from service.prediction_log.sheets import (
    GROUP_ROWS,
    Adder,
    SheetWriter,
    Sum,
    Values,
    check_sum,
    columns_in,
    read_rows,
    schema_of,
)
from service.store.partitions import PARTITIONED, Month

Key = tuple[Any, ...]


class Added(NamedTuple):
    """What became of a month's file.

    Attributes:
        given: Rows that were to be added.
        new: Those that were not in it before.
        sum: What the file holds now.
    """

    given: int
    new: int
    sum: Sum


class Archive:
    """The files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, table: sa.Table, month: Month) -> Path:
        """Where a month's rows of a table are, or will be."""
        return self.folder / f"{table.name}-{name_of(month)}.parquet"

    def files_of(self, table: sa.Table) -> list[Path]:
        """The files of one table, the oldest month first."""
        return sorted(self.folder.glob(f"{table.name}-[0-9][0-9][0-9][0-9]-[0-9][0-9].parquet"))

    def prepare(self) -> None:
        """Make the folder, and remove what somebody who died in the middle left beside its place.

        Raises:
            InvalidSetting: It cannot be made or written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for table in PARTITIONED:
                for path in self.folder.glob(f".{table}-*.parquet.partial"):
                    path.unlink()
        except OSError as e:
            raise InvalidSetting(f"the archive {self.folder} must be a folder that can be written to: {e}") from e

    def add(self, table: sa.Table, month: Month, rows: Iterable[Values]) -> Added:
        """Merge rows into a month's file, and read it back.

        Args:
            table: Whose rows.
            month: Into which all their ids fall.
            rows: A value a column of the table, in the order of the key, each key once.

        Raises:
            Refused: The old file, or the new one when it was read back, is not what it says.
            OSError: The file cannot be written.
        """
        path = self.path_of(table, month)
        merging = _Merging(key_of(table))
        with SheetWriter(path, schema_of(list(table.columns))) as writer:
            merged = merging.merge(_old_rows(path, table), iter(rows))
            while group := list(islice(merged, GROUP_ROWS)):
                writer.write(group)
        return Added(merging.given, merging.given - merging.both, writer.sum)

    def keys(self, table: sa.Table, month: Month) -> Iterator[Key]:
        """The keys of a month's rows in their order."""
        path = self.path_of(table, month)
        return chain.from_iterable(read_rows(path, [column.name for column in table.primary_key]))


def key_of(table: sa.Table) -> Callable[[Values], Key]:
    """What gives the key of a table's row."""
    names = [column.name for column in table.columns]
    places = [names.index(column.name) for column in table.primary_key]
    getter = itemgetter(*places)
    return getter if len(places) > 1 else lambda row: (getter(row),)


def erase_rows(path: Path, is_kept: Callable[[dict[str, Any]], bool], *, by: Sequence[str], dry_run: bool) -> int:
    """Write a file anew without some of its rows; one that keeps none is deleted.

    Args:
        path: The file.
        is_kept: Says of a row, given its values of the columns in `by`, whether it stays.
        by: Names of columns.
        dry_run: Only count.

    Returns:
        How many rows are gone, or would be.

    Raises:
        Refused: The file, or the new one when it was read back, is not what it says.
        OSError: It cannot be written.
    """
    gone = sum(not is_kept(dict(zip(by, row, strict=True))) for row in chain.from_iterable(read_rows(path, by)))
    if dry_run or not gone:
        return gone
    names, adder = columns_in(path), Adder()
    places = [names.index(name) for name in by]
    with SheetWriter(path, _schema_in(path)) as writer:
        for rows in read_rows(path):
            adder.add(rows)
            writer.write(row for row in rows if is_kept({name: row[at] for name, at in zip(by, places, strict=True)}))
        check_sum(path, adder.sum)
    if not writer.sum.rows:
        path.unlink()
        sync_folder(path.parent)
    return gone


class _Merging:
    """Two orders of rows as one, each key once; where both have a key, the first one's row stays."""

    def __init__(self, key: Callable[[Values], Key]) -> None:
        self.given = 0
        self.both = 0
        self._key = key

    def merge(self, old: Iterator[Values], new: Iterator[Values]) -> Iterator[Values]:
        """The rows of both."""
        key, mine, other = self._key, next(old, None), self._next(new)
        while mine is not None and other is not None:
            if key(mine) < key(other):
                yield mine
                mine = next(old, None)
            elif key(other) < key(mine):
                yield other
                other = self._next(new)
            else:
                self.both += 1
                other = self._next(new)
        if mine is not None:
            yield mine
            yield from old
        while other is not None:
            yield other
            other = self._next(new)

    def _next(self, new: Iterator[Values]) -> Values | None:
        found = next(new, None)
        self.given += found is not None
        return found


def _old_rows(path: Path, table: sa.Table) -> Iterator[Values]:
    """What a file holds, in the table's columns; those that are newer than the file read as rows without them mean."""
    if not path.exists():
        return
    names, adder = columns_in(path), Adder()
    absent = [column.info.get("absent") for column in table.columns]
    places = [names.index(column.name) if column.name in names else None for column in table.columns]
    is_same = places == list(range(len(names)))
    for rows in read_rows(path):
        adder.add(rows)
        if is_same:
            yield from rows
            continue
        for row in rows:
            yield tuple(absent[n] if at is None else row[at] for n, at in enumerate(places))
    check_sum(path, adder.sum)


def _schema_in(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_schema(path).remove_metadata()
