"""What is written: chunks that a kill leaves whole, and the part that is made of them once all are there.

A chunk is an Arrow file of ids, kept columns and probabilities that gets its name when it is complete: the chunks that
have names are what is done. The part says the rest, which follows from them: label, risk and who scored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bentos.artifact import Contract
from bentos.errors import Refused
from service.files.arrow import to_arrow, to_numpy, to_texts
from service.files.places import Plan
from service.scoring.models import Identity

PROBABILITY = "probability"
ANSWERS = (PROBABILITY, "label", "risk", "model", "model_version", "digest")
"""The columns that follow the id and the kept ones."""

_KEY = b"gauntlet"


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a chunk or a part says of itself.

    Attributes:
        n_rows: Rows of the input that it stands for.
        n_set_aside: How many of them were bad and have no answer.
        plan: What a part was made by; None in a chunk.
        shard: Which shard's part it is; empty in a chunk.
    """

    n_rows: int
    n_set_aside: int
    plan: Plan | None = None
    shard: str = ""


def chunk_path(work: Path, number: int) -> Path:
    """Where a chunk lies."""
    return work / f"chunk-{number:06d}.arrow"


def aside_path(work: Path, number: int) -> Path:
    """Where the rows of a chunk that were set aside lie."""
    return work / f"chunk-{number:06d}.jsonl"


def write_chunk(path: Path, table: pa.Table, done: Done) -> None:
    """Write a chunk: its name appears when all of it is on the disk."""
    beside = path.with_suffix(".new")
    schema = table.schema.with_metadata({_KEY: msgspec.json.encode(done)})
    with beside.open("wb") as file:
        with pa.ipc.new_file(file, schema) as writer:
            writer.write_table(table.cast(schema))
        _settle(file.fileno())
    beside.replace(path)


def read_chunks(work: Path, count: int) -> Iterator[tuple[pa.Table, Done]]:
    """The first chunks, in their order, with what they say of themselves."""
    for number in range(count):
        with pa.OSFile(str(chunk_path(work, number))) as file:
            table = pa.ipc.open_file(file).read_all()
        yield table, msgspec.json.decode(table.schema.metadata[_KEY], type=Done)


def is_sound(work: Path, number: int, *, n_rows: int, schema: pa.Schema, sets_aside: bool) -> bool:
    """Whether a chunk is there and can be read, with its bad rows beside it.

    Args:
        work: Where the chunks are.
        number: Which.
        n_rows: How many rows of the input it must stand for.
        schema: Of the chunks.
        sets_aside: Whether bad rows are set aside.
    """
    try:
        with pa.memory_map(str(chunk_path(work, number))) as file:
            table = pa.ipc.open_file(file).read_all()
            table.validate()
            done = msgspec.json.decode((table.schema.metadata or {}).get(_KEY, b""), type=Done)
            n_aside = aside_path(work, number).read_bytes().count(b"\n") if sets_aside else 0
    except (pa.ArrowException, msgspec.MsgspecError, UnicodeDecodeError, OSError):
        return False
    n_rows_told = (done.n_rows, done.n_set_aside, table.num_rows)
    return n_rows_told == (n_rows, n_aside, n_rows - n_aside) and table.schema.equals(schema)


def read_done(part: Path) -> Done:
    """What a finished part says of itself.

    Raises:
        Refused: It is no part that was written here.
    """
    try:
        found = (pq.read_metadata(part).metadata or {}).get(_KEY)
        if found is not None:
            return msgspec.json.decode(found, type=Done)
    except (pa.ArrowException, msgspec.MsgspecError, UnicodeDecodeError, OSError):
        pass  # refused below, as any other file that is not ours
    raise Refused(f"{part} exists and is not what `gauntlet score-file` writes; name another output")


def merge_chunks(
    work: Path, count: int, *, contract: Contract, schema: pa.Schema, plan: Plan, shard: str
) -> tuple[Path, Done]:
    """Make the part of all chunks, with label, risk and model beside each probability.

    Args:
        work: Where the chunks are, and where the part is written.
        count: How many there are.
        contract: How probabilities are read.
        schema: Of the chunks, for a part without any.
        plan: What the part is made by.
        shard: Which shard's it is.

    Returns:
        The part, on the disk, ready to take its place, and what it says of itself.
    """
    path = work / "part.new"
    n_rows = n_set_aside = 0
    with path.open("wb") as file:
        answered = _answered(pa.Table.from_batches([], schema=schema), contract, plan.model).schema
        with pq.ParquetWriter(file, answered, use_dictionary=list(ANSWERS[1:]), compression="zstd") as writer:
            for table, done in read_chunks(work, count):
                writer.write_table(_answered(table, contract, plan.model))
                n_rows, n_set_aside = n_rows + done.n_rows, n_set_aside + done.n_set_aside
            told = Done(n_rows=n_rows, n_set_aside=n_set_aside, plan=plan, shard=shard)
            writer.add_key_value_metadata({_KEY: msgspec.json.encode(told)})
        _settle(file.fileno())
    return path, told


def merge_aside(work: Path, count: int, bad_rows: Path) -> Path:
    """Put the rows that were set aside into one file beside their place; gives that file."""
    bad_rows.parent.mkdir(parents=True, exist_ok=True)
    path = bad_rows.with_name(f".{bad_rows.name}.new")
    with path.open("wb") as file:
        for number in range(count):
            with aside_path(work, number).open("rb") as chunk:
                while block := chunk.read(1 << 20):
                    file.write(block)
        _settle(file.fileno())
    return path


def _answered(table: pa.Table, contract: Contract, model: Identity) -> pa.Table:
    """A chunk with the columns that follow from its probabilities and its model."""
    chunks = [to_numpy(chunk)[0] for chunk in table.column(PROBABILITY).chunks]
    chances = np.concatenate([np.empty(0), *chunks])  # as doubles, as the contract's bounds are
    labels = contract.labels.negative, contract.labels.positive
    starts = [band.from_probability for band in contract.risk_bands]
    bands = np.maximum(np.searchsorted(starts, chances, side="right") - 1, 0)
    columns = (
        _choose(labels, chances >= contract.cut),
        _choose([band.name for band in contract.risk_bands], bands),
        *(_choose([text], np.zeros(len(chances))) for text in (model.name, model.version, model.digest)),
    )
    for name, column in zip(ANSWERS[1:], columns, strict=True):
        table = table.append_column(name, column)
    return table.replace_schema_metadata(None)


def _choose(texts: Sequence[str], which: NDArray[np.generic]) -> pa.Array:
    """A text a row, stored once each: most readers know Arrow's dictionaries as categories, the others as text."""
    return pa.DictionaryArray.from_arrays(to_arrow(which.astype(np.int32)), to_texts(texts))


def _settle(handle: int) -> None:
    """Let what was written outlive a power cut."""
    os.fsync(handle)
