"""The experiment file: who is champion, who is challenger, and which share of customers the challenger answers.

It is the truth about roles: written whole, reread while serving, and numbered, so that every replica switches at one
instant and every prediction says under which revision it was made.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bentos.artifact import write_beside
from bentos.errors import InvalidExperiment, NotFound
from bentos.strict_yaml import load_yaml
from service.records import Mode

LEAD = timedelta(seconds=1)
"""From writing the file to its taking effect on one machine: every worker has reread it by then."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One revision of the experiment file.

    Attributes:
        revision: Rises by one with every change.
        effective_from: From when it holds, with a time zone.
        mode: `off`: the champion answers, nobody is enrolled. `shadow`: the challenger is scored and not returned.
            `split`: both are scored, and the challenger's answer is returned to its share of customers.
        champion: Digest of the artifact that serves by default.
        challenger: Digest of the artifact on trial; needed unless the mode is `off`.
        split: The challenger's share of customers, in [0, 1]; 0 unless the mode is `split`.
        salt: Of the hash that assigns customers; one experiment keeps one salt.
    """

    revision: int
    effective_from: datetime
    mode: Mode
    champion: str
    challenger: str | None = None
    split: float = 0.0
    salt: str

    @property
    def id(self) -> str:
        """What evidence is keyed by: the same models under the same salt, whatever the split."""
        key = "\n".join((self.champion, self.challenger or "", self.salt))
        return hashlib.sha256(key.encode()).hexdigest()[:16]


def parse_experiment(content: bytes, source: str = "experiment.yaml") -> Experiment:
    """Read an experiment file.

    Raises:
        InvalidExperiment: It cannot be read or served by; the message names the key and what is allowed.
    """
    try:
        found = msgspec.convert(_with_mode_off(load_yaml(content)), type=Experiment)
    except (yaml.YAMLError, msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise InvalidExperiment(f"{source}: {' '.join(str(e).split())}") from e
    problems = list(_contradictions(found))
    if problems:
        raise InvalidExperiment(f"{source}: " + "; ".join(problems))
    return found


def read_experiment(path: Path) -> Experiment:
    """Read an experiment file; see `parse_experiment`.

    Raises:
        NotFound: There is none.
        InvalidExperiment: It cannot be served by.
    """
    try:
        return parse_experiment(path.read_bytes(), str(path))
    except FileNotFoundError as e:
        raise NotFound(f"there is no experiment file {path}; `gauntlet serve` makes the first one") from e


def dump_experiment(experiment: Experiment) -> bytes:
    """The experiment as the bytes of its file."""
    plain: dict[str, Any] = msgspec.to_builtins(experiment, builtin_types=(datetime,))
    plain["effective_from"] = experiment.effective_from.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return yaml.safe_dump(plain, sort_keys=False).encode()


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Write the file so that a reader finds the old revision or the new one, never a part.

    Raises:
        InvalidExperiment: It could not be served by.
    """
    content = dump_experiment(experiment)
    parse_experiment(content, str(path))
    write_beside(path, content)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Hold the file against every other change while its old revision is read and its new one written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def first_experiment(champion: str, *, now: datetime) -> Experiment:
    """The file that a new installation starts from: the champion alone."""
    return Experiment(revision=1, effective_from=now, mode="off", champion=champion, salt=new_salt())


def new_salt() -> str:
    """A salt for a new experiment."""
    return secrets.token_hex(8)


def start_shadow(current: Experiment, challenger: str, *, now: datetime, salt: str, lead: timedelta) -> Experiment:
    """Put a challenger in the champion's shadow: a new experiment, with a salt of its own.

    Raises:
        InvalidExperiment: It is on trial already, and a new experiment would forget that trial's customers.
    """
    if current.mode != "off" and current.challenger == challenger:
        raise InvalidExperiment(
            f"this challenger is on trial already, mode {current.mode} in revision {current.revision}; "
            "`gauntlet experiment off` ends that trial, and shadow then begins another one"
        )
    return msgspec.structs.replace(
        current,
        **_next(current, now, lead),
        mode="shadow",
        challenger=challenger,
        split=0.0,
        salt=salt,
    )


def set_split(current: Experiment, split: float, *, now: datetime, lead: timedelta) -> Experiment:
    """Give the challenger a share of customers: a new phase of the same experiment.

    Raises:
        InvalidExperiment: There is no challenger, or the share is outside (0, 1].
    """
    if current.challenger is None:
        raise InvalidExperiment("there is no challenger to give a split to; put one in the shadow first")
    if not 0 < split <= 1:
        raise InvalidExperiment(f"the split is {split:g}; it must be above 0 and at most 1 (0 is mode shadow)")
    return msgspec.structs.replace(current, **_next(current, now, lead), mode="split", split=split)


def stop(current: Experiment, *, now: datetime, lead: timedelta) -> Experiment:
    """Let the champion answer alone; the challenger keeps its name in the file, and enrols nobody."""
    return msgspec.structs.replace(current, **_next(current, now, lead), mode="off", split=0.0)


def swap_roles(current: Experiment, *, now: datetime, lead: timedelta) -> Experiment:
    """Make the challenger champion, and the champion challenger, in mode `off`.

    Raises:
        InvalidExperiment: There is no challenger.
    """
    if current.challenger is None:
        raise InvalidExperiment("there is no challenger to promote")
    return msgspec.structs.replace(
        stop(current, now=now, lead=lead), champion=current.challenger, challenger=current.champion
    )


def _with_mode_off(plain: Any) -> Any:
    """YAML takes an unquoted `off` for false. Whoever types it wants the challenger stopped, now."""
    if isinstance(plain, dict) and plain.get("mode") is False:
        return {**plain, "mode": "off"}
    return plain


def _next(current: Experiment, now: datetime, lead: timedelta) -> dict[str, Any]:
    return {"revision": current.revision + 1, "effective_from": now + lead}


def _contradictions(experiment: Experiment) -> Iterator[str]:
    yield from _time_contradictions(experiment)
    for key in ("champion", "challenger"):
        digest = getattr(experiment, key)
        if digest is not None and not _DIGEST.fullmatch(digest):
            yield f"{key} is {digest[:80]!r}; it must be an artifact digest, sha256: and 64 hexadecimal digits"
    if experiment.mode != "off" and experiment.challenger is None:
        yield f"mode {experiment.mode} needs a challenger"
    if experiment.challenger == experiment.champion:
        yield "challenger and champion are the same artifact"
    if not 0 <= experiment.split <= 1:
        yield f"split is {experiment.split:g}; it must be in [0, 1]"
    elif experiment.mode != "split" and experiment.split:
        yield f"split is {experiment.split:g}; it must be 0 in mode {experiment.mode}"
    elif experiment.mode == "split" and not experiment.split:
        yield "split is 0; in mode split it must be above 0"
    if not experiment.salt:
        yield "salt is empty; any text will do, and it stays the same throughout an experiment"


def _time_contradictions(experiment: Experiment) -> Iterator[str]:
    if experiment.revision < 1:
        yield f"revision is {experiment.revision}; it must be 1 or more"
    if experiment.revision >= 2**63:
        yield f"revision is {experiment.revision}; it must be below 2^63"
    if not 2000 <= experiment.effective_from.year <= 9000:
        yield f"effective_from is in the year {experiment.effective_from.year}; it must be from 2000 to 9000"
    if experiment.effective_from.tzinfo is None:
        yield "effective_from must have a time zone, such as 2026-01-31T12:00:00Z"
