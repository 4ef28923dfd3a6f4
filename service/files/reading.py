"""Reading a file of rows in constant memory: Parquet by batches, CSV by blocks, both from any row on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bentos.errors import InvalidData, InvalidSetting, NotFound, Problem, Refused

READ_AHEAD_BYTES = 1 << 18
"""How much of a Parquet column is read at a time: whole column chunks would grow with the row groups."""
CSV_BLOCK_BYTES = 1 << 20
"""How much of a CSV file is parsed at a time; one row must fit."""

_RAGGED = re.compile(r"CSV parse error: (?:Row #(\d+): )?Expected (\d+) columns, got (\d+)")
"""pyarrow's message of a row of another length, whose rows count the header and begin at 1. Its handler of such rows
would be told the same, but not of a row that is no UTF-8 either."""
_TOO_LONG = "straddling object straddles two block boundaries"
"""pyarrow's message of a row that does not fit into a block."""
_NO_HEADER = "Empty CSV file or block"
"""pyarrow's message of a header that does not, or of which there is none."""


@dataclass(frozen=True)
class Stamp:
    """A file as it was when it was opened.

    Attributes:
        digest: sha256 of its bytes.
        size_bytes: How many they are.
        modified_ns: When it was last written, in nanoseconds since 1970.
    """

    digest: str
    size_bytes: int
    modified_ns: int


class Source(Protocol):
    """A file of rows."""

    path: Path
    names: list[str]

    def type_of(self, name: str) -> pa.DataType:
        """The Arrow type in which a column is read."""

    def batches(self, columns: Sequence[str], *, rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """The rows from `start` on, at most `rows` a batch, with these columns in any order.

        Raises:
            InvalidData: The file cannot be read on.
        """


def open_source(path: Path, *, keep: Sequence[str] = ()) -> Source:
    """Open a .parquet, .csv or .csv.gz file.

    Args:
        path: Which.
        keep: Columns that are to be read as plain values, not as indices into a dictionary.

    Raises:
        NotFound: There is no such file.
        InvalidSetting: It is of another kind.
        InvalidData: It cannot be read.
    """
    if not path.exists():
        raise NotFound(f"there is no data file {path}")
    if not path.is_file():
        raise InvalidSetting(f"{path} is a folder; name one .parquet, .csv or .csv.gz file")
    name = path.name.lower()
    if name.endswith(".parquet"):
        return ParquetSource(path, keep)
    if name.endswith((".csv", ".csv.gz")):
        return CsvSource(path)
    raise InvalidSetting(f"{path} is neither .parquet nor .csv nor .csv.gz; rename it or convert it")


class ParquetSource:
    """A Parquet file, whose rows are found by its row groups.

    Attributes:
        path: Where it is.
        names: Its columns.
    """

    def __init__(self, path: Path, keep: Sequence[str]) -> None:
        self.path = path
        with _readable(path, "a .parquet file"), pq.ParquetFile(path) as file:
            self._schema: pa.Schema = file.schema_arrow
            self._groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        self.names = list(self._schema.names)
        self._as_dictionary = [
            field.name
            for field in self._schema
            if (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)) and field.name not in keep
        ]

    def type_of(self, name: str) -> pa.DataType:
        """The Arrow type that the file gives a column."""
        return self._schema.field(name).type

    def batches(self, columns: Sequence[str], *, rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """See `Source`. Row groups before `start` are not read."""
        first, skip = 0, start
        while first < len(self._groups) and skip >= self._groups[first]:
            skip -= self._groups[first]
            first += 1
        wanted = set(columns)
        with (
            _readable(self.path, "a .parquet file"),
            pq.ParquetFile(
                self.path,
                read_dictionary=[name for name in self._as_dictionary if name in wanted],
                buffer_size=READ_AHEAD_BYTES,
                pre_buffer=False,
            ) as file,
        ):
            groups = range(first, len(self._groups))
            batches = file.iter_batches(rows, row_groups=groups, columns=list(wanted), use_threads=False)
            yield from _after(skip, batches)


class CsvSource:
    """A CSV file with a header, gzipped or not; every value is read as text.

    Attributes:
        path: Where it is.
        names: Its columns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open(None) as reader:
            self.names = list(reader.schema.names)

    def type_of(self, name: str) -> pa.DataType:
        """Text."""
        del name
        return pa.string()

    def batches(self, columns: Sequence[str], *, rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """See `Source`. Rows before `start` are parsed and passed over."""
        with self._open(columns) as reader:
            for batch in _after(start, reader):
                for offset in range(0, batch.num_rows, rows):
                    yield batch.slice(offset, rows)

    @contextmanager
    def _open(self, columns: Sequence[str] | None) -> Iterator[Any]:
        """A streaming reader; one thread, so that a row that is too short or too long can be named by its number."""
        csv = pyarrow.csv
        convert: dict[str, Any] = {}
        if columns is not None:
            convert = {"include_columns": list(columns), "column_types": dict.fromkeys(columns, pa.string())}
        with _readable(self.path, "a .csv file"):
            reader = csv.open_csv(
                self.path,
                read_options=csv.ReadOptions(use_threads=False, block_size=CSV_BLOCK_BYTES),
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(strings_can_be_null=False, **convert),
            )
            with reader:
                yield reader


def stamp(path: Path) -> Stamp:
    """What a file is now: its digest, size and time."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    status = path.stat()
    return Stamp(f"sha256:{digest}", status.st_size, status.st_mtime_ns)


def check_unchanged(path: Path, before: Stamp) -> None:
    """Check that nobody wrote to a file since it was stamped.

    Raises:
        Refused: Somebody did.
    """
    if not is_unchanged(path, before):
        raise Refused(f"{path} was changed while it was scored; score it again with --restart")


def is_unchanged(path: Path, before: Stamp) -> bool:
    """Whether nobody wrote to a file since it was stamped, nor took it away."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    return (now.st_size, now.st_mtime_ns) == (before.size_bytes, before.modified_ns)


def _after(skip: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What follows after so many rows; no empty batches."""
    for batch in batches:
        passed = min(skip, batch.num_rows)
        skip -= passed
        if passed < batch.num_rows:
            yield batch.slice(passed)


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """Give pyarrow's failures the form of this project's errors."""
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as e:
        raise InvalidData(str(path), [_problem(e, kind)]) from e
    except OSError as e:  # pyarrow's own has no number: a page that ends too early, a block that does not unpack
        if e.errno is not None:
            raise
        raise InvalidData(str(path), [_problem(e, kind)]) from e


def _problem(error: Exception, kind: str) -> Problem:
    """What is wrong with a file. A row's content follows in pyarrow's message, and is not told."""
    text = " ".join(str(error).split())
    ragged = _RAGGED.match(text)
    if ragged is not None:
        row, expected, actual = ragged.groups()
        allowed = f"rows of {expected}, one for each column"
        return Problem("file", f"a row of {actual} values", allowed, None if row is None else int(row) - 2)
    if _TOO_LONG in text:
        found = f"a row of more than {CSV_BLOCK_BYTES:,} bytes"
        return Problem("file", found, "rows that are shorter, and every quote closed, as one that is not makes one row")
    if _NO_HEADER in text:
        found = f"a first line that is empty or of more than {CSV_BLOCK_BYTES:,} bytes"
        return Problem("file", found, "the names of the columns")
    return Problem("file", f"unreadable ({text[:120]})", kind)
