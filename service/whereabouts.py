"""Where the processes of one `gauntlet serve` answer, left in its folder for whoever wants to look at them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bentos.errors import BadInput, NotFound


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Base URLs on which `/metrics` is answered.

    Attributes:
        scoring: The admin port.
        shipper: None where none was started.
        judge: None where none was started.
        insight: None where none was started.
    """

    scoring: str
    shipper: str | None = None
    judge: str | None = None
    insight: str | None = None


def write_whereabouts(path: Path, found: Whereabouts) -> None:
    """Leave word; readers see the whole of it or what was there before."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    beside.replace(path)


def read_whereabouts(path: Path) -> Whereabouts:
    """What `write_whereabouts` left.

    Raises:
        NotFound: Nobody serves from this folder.
        BadInput: The file is not one of these.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Whereabouts)
    except FileNotFoundError as e:
        raise NotFound(
            f"nobody serves from {path.parent}: there is no {path.name}; start `gauntlet serve` there"
        ) from e
    except msgspec.DecodeError as e:
        raise BadInput(f"{path} does not say where the service answers: {e}; start `gauntlet serve` again") from e
