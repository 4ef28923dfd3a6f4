"""Where answers go, and who may write there: one plan for all shards of an output, one process a shard.

With one shard the output is a file, with several a folder of parts, which every Parquet reader takes for one table.
What is not finished lies in folders whose names begin with a dot, what is told of the parts in files whose names begin
with an underscore: readers pass over both.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bentos.artifact import write_beside
from bentos.errors import InUse, InvalidSetting, NotFound, Refused
from service.files.sharing import Shard
from service.files.work import Work
from service.scoring.models import Identity

PLAN = "_plan.json"
SUMMARY = "_summary.json"


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an output is made of. Everything in it must stay the same until the last shard is done.

    Attributes:
        input_digest: sha256 of the input.
        input_bytes: Its size.
        model: Who scores.
        shards: How many parts there will be.
        keep: Columns that are carried over.
        sets_aside: Whether bad rows are set aside; otherwise one of them ends it.
        chunk_rows: How many rows are done and kept at a time.
    """

    schema_version: int = 1
    input_digest: str
    input_bytes: int
    model: Identity
    shards: int
    keep: tuple[str, ...]
    sets_aside: bool
    chunk_rows: int

    def difference(self, other: Plan) -> str | None:
        """How another plan differs, to be read after "was begun with"; None if it does not."""
        if self.input_digest != other.input_digest:
            return f"another input ({_short(other.input_digest)}, and now it is {_short(self.input_digest)})"
        if self.model != other.model:
            return f"another model ({other.model} {_short(other.model.digest)}, and now it is {self.model})"
        if self.shards != other.shards:
            return f"{other.shards} shards, and now there are {self.shards}"
        if self.keep != other.keep:
            return f"other columns to keep ({', '.join(other.keep) or 'none'})"
        if self.sets_aside != other.sets_aside:
            return "--bad-rows" if other.sets_aside else "no --bad-rows"
        return None if self == other else "another version of Gauntlet"


@dataclass(frozen=True)
class Place:
    """Where one shard's answers go.

    Attributes:
        shard: Which one.
        output: What was asked for.
        part: The shard's finished answers: the output itself, or a part in it.
        work: Where they grow.
        plan: The plan that all shards agree on.
        bad_rows: The shard's rows that were set aside; None where a bad row ends it.
        record: What the shard's work was; None where the report says it all.
        is_shared: Whether other shards write to the same output.
    """

    shard: Shard
    output: Path
    part: Path
    work: Path
    plan: Path
    bad_rows: Path | None
    record: Path | None
    is_shared: bool


def place_of(output: Path, shard: Shard, bad_rows: Path | None) -> Place:
    """Name everything that one shard writes.

    Raises:
        InvalidSetting: A name has another ending, or stands for a folder where a file is to be, or the other way.
    """
    if output.suffix != ".parquet":
        raise InvalidSetting(f"the output is {output}; its name must end with .parquet")
    if bad_rows is not None and bad_rows.suffix != ".jsonl":
        raise InvalidSetting(f"--bad-rows is {bad_rows}; its name must end with .jsonl")
    is_shared = shard.count > 1
    for path in (output, bad_rows):
        if path is not None and path.exists() and path.is_dir() != is_shared:
            wanted, found = ("a folder", "a file") if is_shared else ("a file", "a folder")
            raise InvalidSetting(f"{path} is {found}; with --shard {shard} it must be {wanted}, or not be there")
    if not is_shared:
        work = output.with_name(f".{output.name}.partial")
        return Place(shard, output, output, work, work / "plan.json", bad_rows, None, is_shared)
    name = f"part-{shard.index:05d}-of-{shard.count:05d}"
    aside = None if bad_rows is None else bad_rows / f"{name}.jsonl"
    part, work = output / f"{name}.parquet", output / f".{name}.partial"
    return Place(shard, output, part, work, output / PLAN, aside, output / f"_{name}.json", is_shared)


@contextmanager
def claimed(place: Place, plan: Plan, *, restart: bool) -> Iterator[None]:
    """Hold a shard's place: the plan agreed, the work folder there and no other process's.

    Raises:
        InUse: Another process scores this shard.
        Refused: The output was begun with something else.
        InvalidSetting: The output or `--bad-rows` is somebody else's.
    """
    if place.is_shared:
        place.output.mkdir(parents=True, exist_ok=True)
        with _locked(place.output / ".lock"):
            _agree(place, plan, restart=restart)
    if place.bad_rows is not None and place.bad_rows.exists() and not (restart or place.work.exists()):
        raise InvalidSetting(f"{place.bad_rows} exists; name another file for --bad-rows, or --restart to replace it")
    place.work.mkdir(parents=True, exist_ok=True)
    with _locked(place.work / "lock", refusal=f"another process scores into {place.part} now; wait for it or end it"):
        _prepare(place, plan, restart=restart)
        yield


def publish(place: Place, plan: Plan, part: Path, bad_rows: Path | None, work: Work) -> None:
    """Let finished files take their places, the answers last: where they are, everything is.

    A summary of what was there before goes.

    Args:
        place: Where they go.
        plan: What they were made by.
        part: The answers, on the same file system.
        bad_rows: What was set aside, beside its place.
        work: What it cost.

    Raises:
        Refused: Meanwhile the output was begun anew with something else.
    """
    with _locked(place.output / ".lock" if place.is_shared else place.work / ".lock"):
        if _read_plan(place.plan) != plan:
            raise Refused(f"{place.output} was begun anew with something else while this shard was scored")
        if bad_rows is not None and place.bad_rows is not None:
            bad_rows.replace(place.bad_rows)
        if place.record is not None:
            (place.output / SUMMARY).unlink(missing_ok=True)
            write_beside(place.record, msgspec.json.encode(work))
        part.replace(place.part)
    shutil.rmtree(place.work)


def read_plan(output: Path) -> Plan:
    """The plan that an output's parts are made by.

    Raises:
        NotFound: There is no such output, or it is no folder of parts.
        Refused: Its plan cannot be read.
    """
    plan = _read_plan(output / PLAN)
    if plan is None:
        raise NotFound(f"there is no {output / PLAN}; name an output of `gauntlet score-file` with several shards")
    return plan


def withdraw_summary(output: Path) -> None:
    """Take an output's summary away, if it has one."""
    with _locked(output / ".lock"):
        (output / SUMMARY).unlink(missing_ok=True)


def publish_summary(output: Path, plan: Plan, summary: bytes, check: Callable[[], None]) -> None:
    """Let a summary take its place, unless what it tells of is no longer there.

    Args:
        output: Whose it is.
        plan: What it tells of.
        summary: What it says.
        check: Raises where a part is another than was looked at; nobody publishes one meanwhile.

    Raises:
        Refused: Meanwhile the output was begun anew with something else.
    """
    with _locked(output / ".lock"):
        if _read_plan(output / PLAN) != plan:
            raise Refused(f"{output} was begun anew with something else while it was checked")
        check()
        write_beside(output / SUMMARY, summary)


def abandon(place: Place) -> None:
    """Leave nothing of a shard that cannot be finished, nor a plan that no other shard follows."""
    shutil.rmtree(place.work, ignore_errors=True)
    if place.is_shared:
        with _locked(place.output / ".lock"):
            if not _made_by_shards(place.output):
                place.plan.unlink(missing_ok=True)


def refuse_other(place: Place, difference: str) -> Refused:
    """The refusal of an output that was made of something else."""
    anew = "throws all of its parts away and" if place.is_shared else ""
    return Refused(f"{place.output} was begun with {difference}; --restart {anew} scores anew".replace("  ", " "))


def _agree(place: Place, plan: Plan, *, restart: bool) -> None:
    """Make the plan the one of all shards; the lock is held."""
    difference = _difference(place, plan, restart=restart)
    is_begun = place.plan.exists()
    if difference is not None:
        _clear(place.output)
    elif not is_begun and any(place.output.iterdir()) and not _is_ours(place.output):
        raise InvalidSetting(f"{place.output} holds files and no {place.plan.name}; name a folder that is empty or new")
    if difference is not None or not is_begun:
        write_beside(place.plan, msgspec.json.encode(plan))


def _prepare(place: Place, plan: Plan, *, restart: bool) -> None:
    """Make the work folder one that this plan goes on in; the lock is held."""
    if not place.is_shared:
        _difference(place, plan, restart=restart)
    if restart:
        _empty(place.work)
    if not place.is_shared:
        write_beside(place.plan, msgspec.json.encode(plan))


def _difference(place: Place, plan: Plan, *, restart: bool) -> str | None:
    """How what was begun differs, where that is to be thrown away; None where it does not, or nothing was begun.

    Raises:
        Refused: It differs or cannot be read, and nothing was said of a restart.
    """
    try:
        before = _read_plan(place.plan)
    except Refused:
        if not restart:
            raise
        return "a plan that cannot be read"
    difference = None if before is None else plan.difference(before)
    if difference is not None and not restart:
        raise refuse_other(place, difference)
    return difference


def _empty(work: Path) -> None:
    """Throw away what an earlier run left; folders are not among it."""
    paths = [path for path in work.iterdir() if path.name != "lock"]
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            raise Refused(f"{path} is a folder, which score-file did not make; move it away and score anew")
    for path in paths:
        path.unlink()


def _clear(output: Path) -> None:
    """Throw away what all shards made by an old plan, and what is told of it; no other file."""
    for path in [*_made_by_shards(output), *output.glob("_part-*.json"), *output.glob(SUMMARY)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _made_by_shards(output: Path) -> list[Path]:
    return [*output.glob("part-*.parquet"), *output.glob(".part-*.partial")]


def _is_ours(output: Path) -> bool:
    return {path.name for path in output.iterdir()} <= {".lock"}


def _read_plan(path: Path) -> Plan | None:
    """The plan that a file holds; None where there is none.

    Raises:
        Refused: It holds none that this version can read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise Refused(f"{path} cannot be read; --restart throws what was begun away and scores anew") from e


@contextmanager
def _locked(path: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold a lock that ends with the process; with a refusal, do not wait for whoever holds it."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except BlockingIOError as e:
            raise InUse(refusal) from e
        yield


def _short(digest: str) -> str:
    return digest[:19]
