"""The summary of a batch: its parts are the input's answers, each row's once, of one model; and what the work was.

It goes by what lies there and not by what the shards said. Where it stands, it was so: `_summary.json` in the output is
written when all was found right, and goes as soon as a part comes or the output is checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bentos.errors import InvalidSetting, Refused
from service.files.asking import ShardSummary, Summary
from service.files.chunks import BATCH_ROWS
from service.files.comparing import Rows, compare_part, spoiled
from service.files.parts import Done, read_done
from service.files.places import Place, Plan, place_of, publish_summary, read_plan, withdraw_summary
from service.files.reading import Stamp, is_unchanged, open_source, stamp
from service.files.sharing import Shard
from service.files.work import read_work

Progress = Callable[[str], None]
_NAMED = 20
"""How many missing shards a message names."""


@dataclass(frozen=True)
class _Part:
    """A part that is there.

    Attributes:
        place: Where it lies.
        done: What it says of itself.
        stamp: Its file.
    """

    place: Place
    done: Done
    stamp: Stamp


def are_all_there(output: Path, count: int) -> bool:
    """Whether the parts of all shards are there.

    The folder is listed, and not each part asked for: what a network file system remembers of a name that was not
    there may be old, but whoever has just put its own part there sees the folder as it is.
    """
    return {place.part.name for place in _places(output, count, None)} <= {path.name for path in output.iterdir()}


def sum_up(input_file: Path, output: Path, bad_rows: Path | None, *, progress: Progress = lambda _: None) -> Summary:
    """Check the parts of an output against the input, and write down beside them what they are.

    Args:
        input_file: What was scored.
        output: The folder of parts.
        bad_rows: The folder of rows that were set aside; None where a bad row ended it.
        progress: Gets a line for people now and then.

    Raises:
        NotFound: There is no input, or no output.
        InvalidSetting: Rows were set aside and it is not said where, or the other way.
        InvalidData: The input, or a part, cannot be read.
        Refused: It is another input; a part is missing, doubled, of another model or input, or has other rows than its
            shard has; or something was changed meanwhile.
    """
    plan = read_plan(output)
    if plan.sets_aside != (bad_rows is not None):
        how = "with --bad-rows; name it" if plan.sets_aside else "without --bad-rows; leave it out"
        raise InvalidSetting(f"{output} was made {how}")
    before = _stamp_of(input_file, plan)
    withdraw_summary(output)  # if something is wrong now, the last one must not say otherwise
    places = _places(output, plan.shards, bad_rows)
    _check_names(output, places)
    parts = [_read_part(place, plan) for place in places]
    _check_rows(input_file, parts, plan, progress)
    summary = _summary(input_file, output, bad_rows, plan, parts)
    content = msgspec.json.format(msgspec.json.encode(summary, enc_hook=str), indent=2)
    looked_at = {input_file: before} | {part.place.part: part.stamp for part in parts}
    publish_summary(output, plan, content + b"\n", lambda: _check_unchanged(looked_at))
    return summary


def _places(output: Path, count: int, bad_rows: Path | None) -> list[Place]:
    return [place_of(output, Shard(index, count), bad_rows) for index in range(count)]


def _stamp_of(input_file: Path, plan: Plan) -> Stamp:
    open_source(input_file)  # says what is wrong with a file that is none
    found = stamp(input_file)
    if found.digest != plan.input_digest:
        raise Refused(f"{input_file} is {found.digest}, and what was scored is {plan.input_digest}")
    return found


def _check_names(output: Path, places: Sequence[Place]) -> None:
    """Check that every part is there, and nothing else that readers of the folder would take for one."""
    there = {path.name for path in output.iterdir() if not path.name.startswith((".", "_"))}
    missing = [str(place.shard) for place in places if place.part.name not in there]
    if missing:
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        which = ", ".join(missing[:_NAMED]) + more
        raise Refused(f"{output} lacks {len(missing):,} of {len(places):,} parts; score the shards {which}")
    for name in sorted(there - {place.part.name for place in places}):
        raise Refused(
            f"{output / name} is none of the {len(places):,} parts, and readers take it for one; move it away"
        )


def _read_part(place: Place, plan: Plan) -> _Part:
    """A part that says of itself what the plan says."""
    try:
        found = _Part(place, read_done(place.part), stamp(place.part))
    except Refused as e:
        raise spoiled(place, "is not what score-file writes") from e
    made_by, shard = found.done.plan, found.done.shard
    difference = "no plan" if made_by is None else plan.difference(made_by)
    if difference is not None:
        raise spoiled(place, f"was made with {difference}")
    if shard != str(place.shard):
        raise spoiled(place, f"holds the rows of shard {shard}")
    return found


def _check_rows(input_file: Path, parts: Sequence[_Part], plan: Plan, progress: Progress) -> None:
    """Check that the parts hold the rows of the input, each once."""
    id_column = open_source(parts[0].place.part).names[0]
    source = open_source(input_file, keep=(id_column,))
    if id_column not in source.names:
        raise spoiled(parts[0].place, f"has ids in {id_column}, which is no column of {input_file}")
    ids = Rows(source.batches([id_column], rows=BATCH_ROWS))
    total = sum(part.done.n_rows for part in parts)
    for part in parts:
        place, done = part.place, part.done
        start, stop = place.shard.rows_of(total)
        if done.n_rows != stop - start:
            raise spoiled(place, f"stands for {done.n_rows:,} rows; of {total:,} it must be {stop - start:,}")
        n_aside = compare_part(place, ids, start, stop, model=plan.model)
        if n_aside != done.n_set_aside:
            told = f"set {done.n_set_aside:,} rows aside, and {place.bad_rows or 'nothing'} holds {n_aside:,}"
            raise spoiled(place, told)
        progress(f"{stop:,} of {total:,} rows checked")
    if ids.take(1):
        raise Refused(f"{input_file} has more rows than the {total:,} that the parts stand for")


def _summary(input_file: Path, output: Path, bad_rows: Path | None, plan: Plan, parts: Sequence[_Part]) -> Summary:
    total = sum(part.done.n_rows for part in parts)
    n_set_aside = sum(part.done.n_set_aside for part in parts)
    shards = tuple(_shard_summary(part, total) for part in parts)
    seconds = [shard.seconds for shard in shards if shard.seconds is not None]
    return Summary(
        output=output,
        input=input_file,
        input_digest=plan.input_digest,
        input_bytes=plan.input_bytes,
        model=plan.model,
        keep=plan.keep,
        n_rows=total,
        n_scored=total - n_set_aside,
        n_set_aside=n_set_aside,
        bad_rows=bad_rows,
        seconds=round(sum(seconds), 3) if len(seconds) == len(shards) else None,
        shards=shards,
    )


def _shard_summary(part: _Part, total: int) -> ShardSummary:
    place, done = part.place, part.done
    work = None if place.record is None else read_work(place.record)
    return ShardSummary(
        shard=done.shard,
        part=place.part.name,
        digest=part.stamp.digest,
        first_row=place.shard.rows_of(total)[0],
        n_rows=done.n_rows,
        n_scored=done.n_rows - done.n_set_aside,
        n_set_aside=done.n_set_aside,
        runs=None if work is None else work.runs,
        seconds=None if work is None else work.seconds,
    )


def _check_unchanged(looked_at: dict[Path, Stamp]) -> None:
    for path, before in looked_at.items():
        if not is_unchanged(path, before):
            raise Refused(f"{path} was changed while it was checked; check again")
