"""Reading data: a file, a public file or the use case's own source, validated as a whole before anything is fitted."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.artifact import Contract, Encoder
from bentos.errors import InvalidContract, InvalidData, InvalidSetting, NotFound, Problem
from bentos.folder import Folder
from training.download import fetch, get
from training.generator import generate_customers
from training.holdout import is_holdout
from training.sources import is_database, is_elsewhere, query_database, told_of
from training.use_case import Bundled, Generator, UseCase
from training.validation import validate

GENERATORS: Mapping[str, Callable[[int, int], pd.DataFrame]] = {"telco": generate_customers}
"""Embedded generators by name: (rows, seed) gives a frame with the columns of a use case."""
_BUNDLED = ("breast_cancer", "digits", "iris", "wine")


@dataclass(frozen=True)
class Data:
    """Rows that their use case allows.

    Attributes:
        frame: The id, every feature in the contract's order and the target: categories as text, numbers as float64,
            missing as null.
        digest: Digest of what the frame holds: the same rows give the same digest, whatever file they came in.
        is_synthetic: Whether the rows were generated.
        source: Where they came from, for people.
    """

    frame: pd.DataFrame
    digest: str
    is_synthetic: bool
    source: str


def read_data(
    use_case: UseCase,
    source: str | None,
    *,
    folder: Folder,
    seed: int = 0,
    rows: int = 7000,
    query: str | None = None,
) -> Data:
    """Read and validate data.

    Args:
        use_case: What the columns are.
        source: A .csv or .parquet file, its URL, a database's URL, the name of one of the use case's downloads, or None
            for its own source.
        folder: Where downloads are kept.
        seed: Of generated rows.
        rows: How many rows to generate.
        query: SQL, where the source is a database.

    Raises:
        InvalidData: With everything in the data that the use case does not allow.
        NotFound: There is no such file.
        InvalidSetting: The file is of another kind, or the use case has no source of its own.
        Unavailable: A download failed, or the database did not answer.
    """
    if query is not None and not (source and is_elsewhere(source) and is_database(source)):
        raise InvalidSetting(
            "--query goes with a database; --data must name it, such as postgresql://USER@HOST/DATABASE"
        )
    if source is None:
        return _read_own_source(use_case, seed=seed, rows=rows)
    if source in use_case.downloads:
        download = use_case.downloads[source]
        path = fetch(download, folder.data / f"{source}{Path(urlsplit(download.url).path).suffix}")
        return data_of(use_case.contract, _read_file(path), source=f"{source} ({download.url})")
    if is_elsewhere(source):
        return data_of(use_case.contract, _read_elsewhere(source, query), source=told_of(source))
    path = Path(source)
    if not path.is_file():
        names = ", ".join(sorted(use_case.downloads))
        raise NotFound(f"there is no data file {source}" + (f"; public files by name: {names}" if names else ""))
    return data_of(use_case.contract, _read_file(path), source=source)


def data_of(contract: Contract, frame: pd.DataFrame, *, source: str, is_synthetic: bool = False) -> Data:
    """Validate a frame and bring it into the contract's form; see `training.validation.validate`.

    Raises:
        InvalidData: With everything in it that the contract does not allow.
    """
    validated = validate(contract, frame, source)
    return Data(frame=validated, digest=_digest(validated), is_synthetic=is_synthetic, source=source)


def split(contract: Contract, data: Data, *, folds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows into training and holdout by the stable hash of their ids.

    Raises:
        InvalidData: There are too few rows of a label to train with that many folds and to judge afterwards.
    """
    held = np.array([is_holdout(row_id) for row_id in data.frame[contract.id]])
    training, holdout = data.frame[~held], data.frame[held]
    problems = [
        Problem(contract.target, f"{count} rows with {label!r} in {part}", f"at least {needed}, for {purpose}")
        for label in (contract.labels.negative, contract.labels.positive)
        for part, rows, needed, purpose in (
            ("training", training, folds, f"{folds} folds"),
            ("the holdout", holdout, 1, "judging"),
        )
        if (count := int((rows[contract.target] == label).sum())) < needed
    ]
    if problems:
        raise InvalidData(f"{data.source} has too few rows", problems)
    return training.reset_index(drop=True), holdout.reset_index(drop=True)


def encode(contract: Contract, frame: pd.DataFrame) -> NDArray[np.float32]:
    """The frame's features as the float32 matrix that models read: shape (n_rows, width)."""
    return Encoder(contract).encode_columns(
        {feature.name: frame[feature.name].tolist() for feature in contract.features}
    )


def truth(contract: Contract, frame: pd.DataFrame) -> NDArray[np.int64]:
    """1 for the positive label, 0 for the negative: shape (n_rows,)."""
    is_positive = [label == contract.labels.positive for label in frame[contract.target]]
    return np.array(is_positive, dtype=np.int64)


def _read_own_source(use_case: UseCase, *, seed: int, rows: int) -> Data:
    match use_case.source:
        case Generator(name=name) if name in GENERATORS:
            if rows < 1:
                raise InvalidSetting(f"rows is {rows}; it must be 1 or more")
            frame = GENERATORS[name](rows, seed)
            source = f"{rows:,} synthetic rows (generator {name}, seed {seed})"
            return data_of(use_case.contract, frame, source=source, is_synthetic=True)
        case Generator(name=name):
            raise InvalidContract(f"source.name is {name!r}; the generators are {', '.join(sorted(GENERATORS))}")
        case Bundled(name=name):
            return data_of(use_case.contract, _load_bundled(use_case.contract, name), source=f"scikit-learn's {name}")
        case None:
            raise InvalidSetting(f"the use case {use_case.contract.name} has no source of its own; name a data file")


def _load_bundled(contract: Contract, name: str) -> pd.DataFrame:
    """A data set of scikit-learn, under the contract's names; it has no ids, so row numbers become some."""
    import sklearn.datasets

    load = getattr(sklearn.datasets, f"load_{name}", None)
    bunch = load(as_frame=True) if load is not None and name in _BUNDLED else None
    if bunch is None:
        raise InvalidContract(f"source.name is {name!r}; scikit-learn ships {', '.join(_BUNDLED)}")
    names = dict(enumerate(str(label) for label in bunch.target_names))
    frame: pd.DataFrame = bunch.data.copy()
    frame.insert(0, contract.id, [f"{name}-{row:06d}" for row in range(len(frame))])
    frame[contract.target] = bunch.target.map(names)
    return frame


def _read_elsewhere(source: str, query: str | None) -> pd.DataFrame:
    if is_database(source):
        return query_database(source, query)
    return _parse(told_of(source), lambda: get(source))


def _read_file(path: Path) -> pd.DataFrame:
    return _parse(str(path), path.read_bytes)


def _parse(name: str, read: Callable[[], bytes]) -> pd.DataFrame:
    """A file as it is: every CSV value as text, every Parquet value as its type."""
    kind = Path(name).suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise InvalidSetting(f"{name} is neither .csv nor .parquet; rename it or convert it")
    content = read()
    if not content.strip():
        raise InvalidData(name, [Problem("file", "empty", "a header and rows")])
    try:
        return _parse_csv(content, name) if kind == ".csv" else pd.read_parquet(io.BytesIO(content))
    except (ValueError, OSError, csv.Error) as e:  # pyarrow's errors are one of the first two
        problem = Problem("file", f"unreadable ({' '.join(str(e).split())[:120]})", f"a {kind} file")
        raise InvalidData(name, [problem]) from e


def _parse_csv(content: bytes, name: str) -> pd.DataFrame:
    """Every value as text; blank lines are passed over, as spreadsheets leave them at the end."""
    text = content.decode("utf-8-sig")
    if "\0" in text:
        raise ValueError("it holds zero bytes, so it is no text")
    header, *rows = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    problems = [
        Problem("file", f"a row of {len(row)} values", f"rows of {len(header)}, one for each column", number)
        for number, row in enumerate(rows)
        if len(row) != len(header)
    ]
    if problems:
        raise InvalidData(name, problems)
    frame = pd.DataFrame(rows, columns=range(len(header)), dtype=object)
    return frame.set_axis(header, axis="columns")


def _digest(frame: pd.DataFrame) -> str:
    content = frame.to_csv(index=False, lineterminator="\n", float_format="%.17g").encode()
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def count_seen(training: pd.DataFrame, holdout: pd.DataFrame, columns: Sequence[str]) -> int:
    """How many held-out rows stand among those trained on, equal in every one of these columns.

    Some do by chance where features are few or coarse; many mean that rows were doubled under other ids.
    """
    known = set(training[list(columns)].astype(str).itertuples(index=False, name=None))
    return sum(row in known for row in holdout[list(columns)].astype(str).itertuples(index=False, name=None))
