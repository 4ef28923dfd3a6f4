"""`gauntlet score-file`: a file of rows in, a file of answers out, a chunk at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
import pyarrow as pa

from bentos.artifact import Contract
from bentos.errors import InvalidData, InvalidSetting, Problem, Unavailable
from service.files import encoding, ids
from service.files.asking import Report, Request
from service.files.chunks import BATCH_ROWS, CHUNK_ROWS, ChunkScorer, in_chunks
from service.files.model import FileModel
from service.files.parts import (
    ANSWERS,
    PROBABILITY,
    Done,
    aside_path,
    chunk_path,
    is_sound,
    merge_aside,
    merge_chunks,
    read_done,
    write_chunk,
)
from service.files.places import Place, Plan, abandon, claimed, place_of, publish, refuse_other
from service.files.reading import Source, Stamp, check_unchanged, open_source, stamp
from service.files.summing import are_all_there, sum_up
from service.files.work import Clock

Progress = Callable[[str], None]


def score_file(
    request: Request, model: FileModel, *, progress: Progress = lambda _: None, chunk_rows: int = CHUNK_ROWS
) -> Report:
    """Score one shard of a file; what an earlier run of the same has done is not done again.

    With a summary, whoever finds that all shards are done sums them up: the one that ended last, or is started again.

    Args:
        request: What is asked for.
        model: Who scores.
        progress: Gets a line for people now and then.
        chunk_rows: How many rows are done and kept at a time.

    Raises:
        InvalidData: Rows are not what the contract allows and are not to be set aside; nothing is left behind.
        InvalidSetting: A file is of another kind, or a column to keep is not there or would be written twice; or one
            shard is to be summed up.
        NotFound: There is no input.
        InUse: Somebody else scores this shard.
        Refused: The output exists and is something else, or the model answers no probability, or the summary finds
            that the parts are not what they must be.
        Unavailable: The disk is full, or does not let a file be written.
    """
    report = _score_shard(request, model, progress, chunk_rows)
    if not request.summary or not are_all_there(request.output, request.shard.count):
        return report
    summary = sum_up(request.input, request.output, request.bad_rows, progress=progress)
    return msgspec.structs.replace(report, summary=summary)


def _score_shard(request: Request, model: FileModel, progress: Progress, chunk_rows: int) -> Report:
    began = time.monotonic()
    place = place_of(request.output, request.shard, request.bad_rows)
    _check_paths(request)
    source = open_source(request.input, keep=(model.contract.id, *request.keep))
    _check_columns(source, model.contract, request.keep)
    before = stamp(request.input)
    plan = _plan(request, model, before, chunk_rows)
    done = _finished(place, plan, restart=request.restart)
    if done is not None:
        return _report(request, place, done, model, n_before=done.n_rows, began=began, was_finished=True)
    with _named_faults(place), claimed(place, plan, restart=request.restart):
        clock = Clock(place.work, began)
        try:
            n_chunks, n_before = _score_chunks(request, source, model, place, clock, progress, chunk_rows)
        except InvalidData:
            abandon(place)
            raise
        schema = _schema(source, model.contract, request.keep)
        part, done = merge_chunks(
            place.work, n_chunks, contract=model.contract, schema=schema, plan=plan, shard=str(request.shard)
        )
        aside = None if place.bad_rows is None else merge_aside(place.work, n_chunks, place.bad_rows)
        check_unchanged(request.input, before)
        publish(place, plan, part, aside, clock.so_far())
    return _report(request, place, done, model, n_before=n_before, began=began, was_finished=False)


def _score_chunks(
    request: Request,
    source: Source,
    model: FileModel,
    place: Place,
    clock: Clock,
    progress: Progress,
    chunk_rows: int,
) -> tuple[int, int]:
    """Score the chunks that are not there; gives how many there are, and how many rows were done before."""
    contract = model.contract
    progress(f"reading the ids of {source.path}")
    found = ids.read_ids(source, contract.id, beside=place.work)
    start, stop = request.shard.rows_of(found.n_rows)
    sizes = [min(chunk_rows, stop - row) for row in range(start, stop, chunk_rows)]
    schema = _schema(source, contract, request.keep)
    missing = _missing_chunks(place, sizes, schema, progress)
    n_before = stop - start - sum(sizes[number] for number in missing)
    if not missing:
        return len(sizes), n_before
    first, last = min(missing), max(missing)
    scorer = ChunkScorer(source.path, model, schema=schema, ids=found, chunk_rows=chunk_rows)
    columns = list(dict.fromkeys((*schema.names[:-1], *(feature.name for feature in contract.features))))
    batches = source.batches(columns, rows=BATCH_ROWS, start=start + first * chunk_rows)
    chunks = in_chunks(batches, sum(sizes[first : last + 1]), chunk_rows=chunk_rows)
    for number, pieces in enumerate(chunks, first):
        if number not in missing:
            continue
        row = start + number * chunk_rows
        with _aside(place, number) as aside:
            table, done = scorer.score(pieces, row, aside=aside)
        write_chunk(chunk_path(place.work, number), table, done)
        clock.note()
        progress(f"{row - start + done.n_rows:,} of {stop - start:,} rows")
    return len(sizes), n_before


def _missing_chunks(place: Place, sizes: Sequence[int], schema: pa.Schema, progress: Progress) -> set[int]:
    """The chunks that are not there, or are not what was written."""
    missing = set()
    for number, n_rows in enumerate(sizes):
        sets_aside = place.bad_rows is not None
        if not is_sound(place.work, number, n_rows=n_rows, schema=schema, sets_aside=sets_aside):
            missing.add(number)
            path = chunk_path(place.work, number)
            if path.exists():
                progress(f"{path} is damaged; its rows are scored again")
    return missing


@contextmanager
def _named_faults(place: Place) -> Iterator[None]:
    """Say which file it is that the disk does not let be written, and what to do."""
    try:
        yield
    except OSError as e:
        where = e.filename2 or e.filename or place.work
        raise Unavailable(
            f"{where} cannot be written or read ({e.strerror or e}); mend that and run the same again: "
            "what is scored is not scored again"
        ) from e


@contextmanager
def _aside(place: Place, number: int) -> Iterator[IO[bytes] | None]:
    """The file for a chunk's bad rows, on the disk when this ends; None where they end it."""
    if place.bad_rows is None:
        yield None
        return
    with aside_path(place.work, number).open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _plan(request: Request, model: FileModel, before: Stamp, chunk_rows: int) -> Plan:
    return Plan(
        input_digest=before.digest,
        input_bytes=before.size_bytes,
        model=model.identity,
        shards=request.shard.count,
        keep=request.keep,
        sets_aside=request.bad_rows is not None,
        chunk_rows=chunk_rows,
    )


def _schema(source: Source, contract: Contract, keep: Sequence[str]) -> pa.Schema:
    """Of a chunk: the id, what is kept, and the probability."""
    kept = {name: source.type_of(name) for name in (contract.id, *keep)}
    plain = [(name, kind.value_type if pa.types.is_dictionary(kind) else kind) for name, kind in kept.items()]
    return pa.schema([*plain, (PROBABILITY, pa.float32())])


def _finished(place: Place, plan: Plan, *, restart: bool) -> Done | None:
    """What a part that is there says of itself; None where there is none, or it is to be made anew.

    Raises:
        Refused: It is no part of score-file's, whatever `--restart` says, or one of something else.
    """
    if not place.part.exists():
        return None
    done = read_done(place.part)
    difference = "another plan" if done.plan is None else plan.difference(done.plan)
    if restart:
        return None
    if difference is not None:
        raise refuse_other(place, difference)
    return done


def _report(
    request: Request, place: Place, done: Done, model: FileModel, *, n_before: int, began: float, was_finished: bool
) -> Report:
    return Report(
        output=place.part,
        shard=str(request.shard),
        model=model.identity,
        n_rows=done.n_rows,
        n_scored=done.n_rows - done.n_set_aside,
        n_set_aside=done.n_set_aside,
        bad_rows=place.bad_rows,
        n_done_before=n_before,
        seconds=time.monotonic() - began,
        was_finished=was_finished,
    )


def _check_paths(request: Request) -> None:
    """No two of the files may be one, and one file needs no summary."""
    if request.summary and request.shard.count == 1:
        raise InvalidSetting("--summary sums several shards up; of one, what score-file says is all there is")
    named = {"the input": request.input, "the output": request.output, "--bad-rows": request.bad_rows}
    seen: dict[Path, str] = {}
    for what, path in named.items():
        if path is not None:
            other = seen.setdefault(path.resolve(), what)
            if other != what:
                raise InvalidSetting(f"{what} is {path}, which is {other} too; name another file")


def _check_columns(source: Source, contract: Contract, keep: Sequence[str]) -> None:
    """Check that the columns are there, once each, of types that can be looked at.

    Raises:
        InvalidData: They are not; with everything that is wrong.
        InvalidSetting: A column to keep is not there, or would be written twice.
    """
    for name in (contract.id, *keep):
        if name in ANSWERS:
            raise InvalidSetting(f"the column {name} is one that score-file writes; rename it in the input")
    for name in keep:
        if source.names.count(name) != 1:
            raise InvalidSetting(f"--keep is {name!r}; {source.path} has the columns {', '.join(source.names)[:500]}")
    problems = list(_column_problems(source, contract))
    if problems:
        raise InvalidData(str(source.path), problems)


def _column_problems(source: Source, contract: Contract) -> Iterator[Problem]:
    known = {contract.id, contract.target, *(feature.name for feature in contract.features)}
    others = ", ".join(repr(name) for name in source.names if name not in known)
    for name in (contract.id, *(feature.name for feature in contract.features)):
        found = source.names.count(name)
        if found == 0:
            yield Problem(name, "missing", "a column of the file" + (f", which has {others[:200]}" if others else ""))
        elif found > 1:
            yield Problem(name, f"a column that comes {found} times", "there once")
        elif name == contract.id:
            yield from filter(None, [ids.type_problem(name, source.type_of(name))])
        else:
            yield from filter(None, [encoding.type_problem(contract.feature(name), source.type_of(name))])
