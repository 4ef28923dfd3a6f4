"""The experiment file: who is champion, who is challenger, and which share of customers the challenger answers.

It is the truth about roles: written whole, reread while serving, and numbered, so that every replica switches at one
instant and every prediction says under which revision it was made.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bentos.artifact import write_beside
from bentos.errors import InvalidExperiment, NotFound
from bentos.strict_yaml import dump_yaml, load_yaml, read_file
from service.prediction_log.records import Mode, Variant

LEAD = timedelta(seconds=1)
"""From writing the file to its taking effect on one machine: every worker has reread it by then."""

RETRY_REACH = timedelta(hours=24)
"""How old a client's own prediction id may be; a retry within it is decided as the request was."""

_MOST_PHASES = 50
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Further(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One more challenger beside the first.

    Attributes:
        challenger: Digest of the artifact on trial.
        split: Its share of the customers that fall to it, in [0, 1]; 0 unless the mode is `split`.
    """

    challenger: str
    split: float = 0.0


class Pin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Customers who get one variant whatever their hash says, for tests; they are logged and never evidence.

    Attributes:
        variant: Which one.
        customers: Their ids.
    """

    variant: Variant
    customers: tuple[str, ...]


class Phase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds from one instant on.

    Attributes:
        revision: Rises with every change.
        effective_from: From when it holds, with a time zone.
        mode: `off`: the champion answers, nobody is enrolled. `shadow`: the challenger is scored and not returned.
            `split`: both are scored, and the challenger's answer is returned to its share of customers.
        champion: Digest of the artifact that serves by default.
        challenger: Digest of the artifact on trial; needed unless the mode is `off`.
        split: The challenger's share of customers, in [0, 1]; 0 unless the mode is `split`.
        further: More challengers. Customers are divided evenly among all challengers, and each is compared with the
            champion on its own customers: one customer takes part in one trial.
        salt: Of the hashes that assign customers; one experiment keeps one salt.
        sample: The share of customers who take part, in (0, 1]; the champion alone is scored for the others.
        holdout: The share of customers who never meet a challenger, in [0, 1); the same in every experiment.
        no_treatment: The share of customers from whom actions are withheld, in [0, 1); the same in every experiment.
        population_salt: Of the hashes that draw `holdout` and `no_treatment`; it stays through all experiments.
        pins: Customers who get one variant whatever their hash says.
        pin_by_header: Whether the header `Gauntlet-Variant` may choose the variant of a request.
    """

    revision: int
    effective_from: datetime
    mode: Mode
    champion: str
    challenger: str | None = None
    split: float = 0.0
    further: tuple[Further, ...] = ()
    salt: str
    sample: float = 1.0
    holdout: float = 0.0
    no_treatment: float = 0.0
    population_salt: str = "population"
    pins: tuple[Pin, ...] = ()
    pin_by_header: bool = False

    @property
    def id(self) -> str:
        """Of the first challenger's experiment."""
        return self.experiment_id(self.challenger)

    @property
    def challengers(self) -> tuple[tuple[str, float], ...]:
        """Digest and split of everyone on trial, the first one first."""
        if self.challenger is None:
            return ()
        return ((self.challenger, self.split), *((one.challenger, one.split) for one in self.further))

    def experiment_id(self, challenger: str | None) -> str:
        """What evidence is keyed by: the same two models under the same salt, whatever the split."""
        key = "\n".join((self.champion, challenger or "", self.salt))
        return hashlib.sha256(key.encode()).hexdigest()[:16]


class Experiment(Phase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One revision of the experiment file.

    Attributes:
        history: What held in the last 24 hours, the oldest first. A retry of a request is decided as the request was,
            and a replica that starts before `effective_from` serves by what holds until then.
    """

    history: tuple[Phase, ...] = ()

    @property
    def trials(self) -> tuple[Experiment, ...]:
        """Each challenger's trial as if it were the only one; the file itself where there is at most one."""
        return tuple(self.focused(digest) for digest, _ in self.challengers) if self.further else (self,)

    def focused(self, challenger: str | None = None) -> Experiment:
        """One challenger's trial as if it were the only one.

        Args:
            challenger: Its digest; None for the one that is on trial, where there is at most one.

        Raises:
            InvalidExperiment: It is not on trial, or several are and none is named.
        """
        if challenger is None and self.further:
            named = ", ".join(digest for digest, _ in self.challengers)
            raise InvalidExperiment(f"several challengers are on trial ({named}); say which one with --challenger")
        if challenger in (None, self.challenger):
            return msgspec.structs.replace(self, further=())
        for digest, split in self.challengers:
            if digest == challenger:
                return msgspec.structs.replace(self, challenger=digest, split=split, further=())
        raise InvalidExperiment(f"{challenger} is not on trial")


def parse_experiment(content: bytes, source: str = "experiment.yaml") -> Experiment:
    """Read an experiment file.

    Raises:
        InvalidExperiment: It cannot be read or served by; the message names the key and what is allowed.
    """
    try:
        found = msgspec.convert(_with_mode_off(load_yaml(content)), type=Experiment)
    except (yaml.YAMLError, msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise InvalidExperiment(f"{source}: {' '.join(str(e).split())}") from e
    problems = list(_file_contradictions(found))
    if problems:
        raise InvalidExperiment(f"{source}: " + "; ".join(problems))
    return found


def read_content(path: Path) -> bytes:
    """The bytes of an experiment file, for `parse_experiment`.

    Raises:
        NotFound: There is none.
        InvalidExperiment: It is no regular file, or too large.
    """
    try:
        return read_file(path)
    except FileNotFoundError as e:
        raise NotFound(f"there is no experiment file {path}; `gauntlet serve` makes the first one") from e
    except yaml.YAMLError as e:
        raise InvalidExperiment(f"{path}: {e}") from e


def read_experiment(path: Path) -> Experiment:
    """Read an experiment file; it raises what `read_content` and `parse_experiment` raise."""
    return parse_experiment(read_content(path), str(path))


def dump_experiment(experiment: Experiment) -> bytes:
    """The experiment as the bytes of its file."""
    plain = _plain(experiment)
    plain["history"] = [_plain(phase) for phase in experiment.history]
    if not plain["history"]:
        del plain["history"]
    return dump_yaml(plain)


def dump_servable(experiment: Experiment, source: str = "experiment.yaml") -> bytes:
    """The file's content, wherever it is to stand: what replicas refuse, no later change could be read from either.

    Raises:
        InvalidExperiment: It could not be served by.
    """
    content = dump_experiment(experiment)
    parse_experiment(content, source)
    return content


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Write the file so that a reader finds the old revision or the new one, never a part.

    Raises:
        InvalidExperiment: It could not be served by.
    """
    write_beside(path, dump_servable(experiment, str(path)))


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


def start_shadow(
    current: Experiment, challenger: str, *further: str, now: datetime, salt: str, lead: timedelta
) -> Experiment:
    """Put challengers in the champion's shadow: a new experiment, with a salt of its own.

    Those whom the file names already, stopped, go on where they were: the same experiment, under its own salt.

    Args:
        current: The file as it stands.
        challenger: Digest of the first.
        further: Digests of others.
        now: The moment.
        salt: For a new experiment.
        lead: From then to the change's taking effect.

    Raises:
        InvalidExperiment: It is on trial already, and a new experiment would forget that trial's customers.
    """
    if current.mode != "off" and current.challenger == challenger:
        raise InvalidExperiment(
            f"this challenger is on trial already, mode {current.mode} in revision {current.revision}; "
            "`gauntlet experiment off` stops it, and shadow then takes it up again"
        )
    named = {digest for digest, _ in current.challengers}
    return msgspec.structs.replace(
        current,
        **_next(current, now, lead),
        mode="shadow",
        challenger=challenger,
        split=0.0,
        further=tuple(Further(challenger=digest) for digest in further),
        salt=current.salt if named == {challenger, *further} else salt,
    )


def set_split(current: Experiment, split: float, *, now: datetime, lead: timedelta) -> Experiment:
    """Give each challenger a share of its customers: a new phase of the same experiment.

    Raises:
        InvalidExperiment: There is no challenger, or the share is outside (0, 1].
    """
    if current.challenger is None:
        raise InvalidExperiment("there is no challenger to give a split to; put one in the shadow first")
    if not 0 < split <= 1:
        raise InvalidExperiment(f"the split is {split:g}; it must be above 0 and at most 1 (0 is mode shadow)")
    further = tuple(msgspec.structs.replace(one, split=split) for one in current.further)
    return msgspec.structs.replace(current, **_next(current, now, lead), mode="split", split=split, further=further)


def set_shares(current: Experiment, shares: Mapping[str, float], *, now: datetime, lead: timedelta) -> Experiment:
    """Change which share of customers takes part, is held out or is not treated.

    Args:
        current: The file as it stands.
        shares: `sample`, `holdout` and `no_treatment`, as far as they change.
        now: The moment.
        lead: From then to the change's taking effect.
    """
    return msgspec.structs.replace(current, **_next(current, now, lead), **shares)


def stop(current: Experiment, *, now: datetime, lead: timedelta) -> Experiment:
    """Let the champion answer alone; the challenger keeps its name in the file, and enrols nobody."""
    further = tuple(msgspec.structs.replace(one, split=0.0) for one in current.further)
    return msgspec.structs.replace(current, **_next(current, now, lead), mode="off", split=0.0, further=further)


def end_trial(current: Experiment, challenger: str, *, now: datetime, lead: timedelta) -> Experiment:
    """Take one challenger out of the file. The trials of others go on; without any, the champion answers alone."""
    left = [one for one in current.challengers if one[0] != challenger]
    if not left:
        return msgspec.structs.replace(stop(current, now=now, lead=lead), challenger=None, further=())
    (first, split), *others = left
    further = tuple(Further(challenger=digest, split=share) for digest, share in others)
    return msgspec.structs.replace(current, **_next(current, now, lead), challenger=first, split=split, further=further)


def swap_roles(current: Experiment, *, now: datetime, lead: timedelta) -> Experiment:
    """Make the challenger champion, and the champion challenger, in mode `off`, under a salt that follows from the old.

    Were the old one kept, whom the challenger answered would meet the other model next, and the others the first.

    Raises:
        InvalidExperiment: There is no challenger.
    """
    if current.challenger is None:
        raise InvalidExperiment("there is no challenger to promote")
    return msgspec.structs.replace(
        stop(current, now=now, lead=lead),
        champion=current.challenger,
        challenger=current.champion,
        further=(),
        salt=hashlib.sha256(f"{current.salt}\n{current.revision}".encode()).hexdigest()[:16],
    )


def _with_mode_off(plain: Any) -> Any:
    """YAML takes an unquoted `off` for false. Whoever types it wants the challenger stopped, now."""
    if not isinstance(plain, dict):
        return plain
    fixed = {**plain, "mode": "off"} if plain.get("mode") is False else plain
    if isinstance(history := fixed.get("history"), list):
        return {**fixed, "history": [_with_mode_off(phase) for phase in history]}
    return fixed


def _next(current: Experiment, now: datetime, lead: timedelta) -> dict[str, Any]:
    return {"revision": current.revision + 1, "effective_from": now + lead, "history": _history(current, now)}


def _history(current: Experiment, now: datetime) -> tuple[Phase, ...]:
    """What held within the reach of a retry, without phases that a later one replaced before they began."""
    values = {name: getattr(current, name) for name in Phase.__struct_fields__}
    phases = [phase for phase in current.history if phase.effective_from < current.effective_from] + [Phase(**values)]
    ends = [later.effective_from for later in phases[1:]] + [now]
    return tuple(phase for phase, end in zip(phases, ends, strict=True) if end > now - RETRY_REACH)[-_MOST_PHASES:]


_ALWAYS = ("revision", "effective_from", "mode", "champion", "challenger", "split", "salt")
"""Keys that a file always shows; the others stand in it where they differ from what holds without them."""


def _plain(phase: Phase) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(phase, builtin_types=(datetime,))
    plain["effective_from"] = phase.effective_from.astimezone(UTC).isoformat().replace("+00:00", "Z")
    usual = dict(zip(reversed(Phase.__struct_fields__), reversed(Phase.__struct_defaults__), strict=False))
    return {key: value for key, value in plain.items() if key in _ALWAYS or getattr(phase, key) != usual.get(key)}


def _file_contradictions(experiment: Experiment) -> Iterator[str]:
    yield from _contradictions(experiment)
    for i, phase in enumerate(experiment.history):
        for problem in _contradictions(phase):
            yield f"history[{i}]: {problem}"
        if phase.revision >= experiment.revision:
            yield f"history[{i}]: revision {phase.revision} is not before {experiment.revision}"


def _contradictions(phase: Phase) -> Iterator[str]:
    yield from _time_contradictions(phase)
    yield from _model_contradictions(phase)
    for i, (_, split) in enumerate(phase.challengers or ((None, phase.split),)):
        yield from _split_contradictions(phase, split, f"further[{i - 1}].split" if i else "split")
    yield from _share_contradictions(phase)
    for key in ("salt", "population_salt"):
        value = getattr(phase, key)
        if not value or not value.isprintable():
            yield f"{key} is {value!r}; any text without line feeds will do, and it stays the same throughout"


def _model_contradictions(phase: Phase) -> Iterator[str]:
    named = {"champion": phase.champion, "challenger": phase.challenger}
    named |= {f"further[{i}].challenger": one.challenger for i, one in enumerate(phase.further)}
    for key, digest in named.items():
        if digest is not None and not _DIGEST.fullmatch(digest):
            yield f"{key} is {digest[:80]!r}; it must be an artifact digest, sha256: and 64 hexadecimal digits"
    if phase.challenger is None and (phase.mode != "off" or phase.further):
        yield f"mode {phase.mode} needs a challenger" if phase.mode != "off" else "further needs a challenger"
    if phase.challenger == phase.champion:
        yield "challenger and champion are the same artifact"
    several = [digest for digest in named.values() if digest is not None]
    if len(set(several)) < len(several) and phase.challenger != phase.champion:
        yield "further names a model that has a role already"


def _split_contradictions(phase: Phase, split: float, key: str) -> Iterator[str]:
    if not 0 <= split <= 1:
        yield f"{key} is {split:g}; it must be in [0, 1]"
    elif phase.mode != "split" and split:
        yield f"{key} is {split:g}; it must be 0 in mode {phase.mode}"
    elif phase.mode == "split" and not split and key == "split":
        yield "split is 0; in mode split it must be above 0"


def _share_contradictions(phase: Phase) -> Iterator[str]:
    if not 0 < phase.sample <= 1:
        yield f"sample is {phase.sample:g}; it must be above 0 and at most 1"
    for key in ("holdout", "no_treatment"):
        if not 0 <= getattr(phase, key) < 1:
            yield f"{key} is {getattr(phase, key):g}; it must be in [0, 1)"


def _time_contradictions(phase: Phase) -> Iterator[str]:
    if not 1 <= phase.revision < 2**63:
        yield f"revision is {phase.revision}; it must be from 1 to 2^63 - 1"
    if not 2000 <= phase.effective_from.year <= 9000:
        yield f"effective_from is in the year {phase.effective_from.year}; it must be from 2000 to 9000"
    if phase.effective_from.tzinfo is None:
        yield "effective_from must have a time zone, such as 2026-01-31T12:00:00Z"
