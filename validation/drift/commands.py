"""`gauntlet drift`: how far live customers are from training, from the store."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bentos.command_line import as_json_option, in_folder, moment_of, print_result
from bentos.errors import InvalidSetting, NotFound
from bentos.folder import Folder

if TYPE_CHECKING:
    from validation.drift.comparing import ModelDrift, Window

_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
EXIT_CODES = {"quiet": 0, "drifted": 1, "unknown": 3}
"""2 is for wrong arguments and a store that does not answer, as everywhere."""


@click.command()
@click.option("--window", metavar="LENGTH", help="The last so many m, h, d or w, such as 1h or 7d. Default: 1d.")
@click.option("--from", "since", metavar="TIME", help="Begin of the window, such as 2026-03-01T00:00:00Z.")
@click.option("--to", "until", metavar="TIME", help="Its end. Default: now.")
@click.option("--model", metavar="NAME:VERSION", help="Or its digest. Default: every model of the Bento.")
@click.option("--feature", metavar="NAME", help="Show the bins of one feature, or of `score`.")
@in_folder
@as_json_option
def drift(
    window: str | None,
    since: str | None,
    until: str | None,
    model: str | None,
    feature: str | None,
    folder: Folder,
    as_json: bool,
) -> None:
    """Say how far live customers are from training.

    By the formulas and limits of the alerts, from the prediction log, for each model of the Bento. Drifted is what
    moved by more than matters and by more than chance explains once a year.

    Exit code: 0 quiet, 1 something drifted, 2 wrong arguments or no store, 3 too few rows to say anything.
    """
    from service.prediction_log.shipper import ship
    from service.store import store_of
    from validation.drift.comparing import worst
    from validation.drift.counting import drift_of
    from validation.drift.models import packed_models
    from validation.drift.terminal import render

    now = datetime.now(UTC)
    asked = window_of(window, since, until, now=now)
    models, store = packed_models(folder, named=model), store_of(folder)
    if feature is not None:
        _check_feature(feature, [one.name for one in models[0].contract.features])
    ship(folder.spool, store, now=now)
    with store.reading() as connection:
        found = drift_of(connection, models, asked)

    def draw(drifts: tuple[ModelDrift, ...]) -> Any:
        return render(drifts, feature)

    print_result(found, as_json, draw)
    sys.exit(EXIT_CODES[worst([one.finding for one in found])])


def window_of(length: str | None, since: str | None, until: str | None, *, now: datetime) -> Window:
    """The window that the options name.

    Raises:
        InvalidSetting: They contradict each other, or one of them is none.
    """
    from validation.drift.comparing import Window
    from validation.drift.counting import window_ending

    end = moment_of(until, "--to") or now
    begin = moment_of(since, "--from")
    if begin is None:
        seconds = seconds_of(length or "1d")
        if seconds > end.timestamp():
            raise InvalidSetting(f"--window must begin in 1970 or later, and not {length or '1d'} before {end}")
        return window_ending(end, seconds)
    if length is not None:
        raise InvalidSetting("--window and --from both say where the window begins; give one of them")
    if begin >= end:
        raise InvalidSetting(f"--from is {since!r}; it must lie before the window's end, {end.isoformat()}")
    return Window(since=begin, until=end)


def seconds_of(length: str) -> float:
    """A length as an option spells it, in seconds.

    Raises:
        InvalidSetting: It is none.

    >>> seconds_of("7d")
    604800.0
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhdw])", length)
    if found is None:
        raise InvalidSetting(f"--window is {length!r}; it must be 1 to 999999 of m, h, d or w, such as 1h or 7d")
    return float(int(found[1]) * _SECONDS[found[2]])


def _check_feature(name: str, features: list[str]) -> None:
    if name not in (*features, "score"):
        raise NotFound(f"--feature is {name!r}; it must be one of {', '.join(features)}, or score")
