"""What every subcommand of the command line shares: its options, how it says a result, and how it says an error.

The commands themselves lie in `PLANE/commands.py`, and `gauntlet.py` is their table of contents.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from bentos.errors import PROBLEMS_SHOWN, InvalidSetting, NotFound, WithProblems, shown
from bentos.folder import Folder
from bentos.last_words import SETTING as LAST_WORDS

HOME = "gauntlet-home"
POLICIES = Path(__file__).parent.parent / "validation" / "policies"


def folder_option(default: str) -> Callable[..., Any]:
    """Give a subcommand `--folder`, and hand it over as a `Folder`."""
    return click.option(
        "--folder",
        envvar="GAUNTLET_FOLDER",
        type=click.Path(path_type=Path, file_okay=False),
        default=default,
        show_default=True,
        show_envvar=True,
        metavar="DIR",
        callback=lambda _context, _option, value: _folder_at(value),
        help="Where this installation keeps its things.",
    )


def _folder_at(path: Path) -> Folder:
    experiment = os.environ.get("GAUNTLET_EXPERIMENT_FILE")
    return Folder(path, experiment_file=Path(experiment) if experiment else None)


in_folder = folder_option(HOME)

online_policy = click.option(
    "--policy",
    type=click.Path(path_type=Path),
    envvar="GAUNTLET_POLICY_FILE",
    show_envvar=True,
    metavar="FILE",
    help="The rules of the verdict. Default: DIR/policy.yaml if it is there, else validation/policies/online.yaml.",
)


def as_json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a subcommand `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def candidate_file_option(told: str) -> Callable[..., Any]:
    """Give a subcommand `--candidate-file`, by which a training hands over to what comes after it."""
    return click.option(
        "--candidate-file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="GAUNTLET_CANDIDATE_FILE",
        show_envvar=True,
        metavar="FILE",
        help=told,
    )


_LONGEST_NAMED = 1000
"""Characters of a file that is to name a candidate: whatever else it is, it is not read to its end."""


def candidate_in(file: Path) -> str:
    """The version that a training wrote into a file, such as models:/churn/7.

    Raises:
        NotFound: There is none in it.
    """
    try:
        with file.open(encoding="utf-8") as opened:
            named = opened.read(_LONGEST_NAMED).strip()
    except (OSError, UnicodeDecodeError) as e:
        raise NotFound(f"{file} names no candidate, as it cannot be read: {e}") from e
    if not named:
        raise NotFound(f"{file} names no candidate, as it is empty")
    if not named.startswith("models:/") or len(named.split()) > 1:
        raise NotFound(f"{file} names no candidate: it holds {shown(named)}, and must hold one such as models:/churn/7")
    return named


class Percent(click.ParamType[float]):
    """A percentage from 0 to 100, with or without its sign; a fraction such as 0.25 is asked back, as it is a trap."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of percent."""
        text = str(value)
        try:
            percent = float(text.removesuffix("%"))
        except ValueError:
            percent = -1.0
        if not 0 <= percent <= 100:
            self.fail(f"{text!r} is no percentage from 0 to 100, such as 25", param, ctx)
        if 0 < percent < 1 and not text.endswith("%"):
            self.fail(f"{text} is less than one percent; say {percent * 100:g} or {text}%, as you mean", param, ctx)
        return percent


def rules_of(policy: Path | None, folder: Folder) -> Path:
    """The online policy: the one that was named, else the folder's own, else the shipped one."""
    if policy is not None:
        return policy
    return folder.policy if folder.policy.exists() else POLICIES / "online.yaml"


def moment_of(text: str | None, option: str = "--as-of") -> datetime | None:
    """A moment that was given as an option; None where it was not.

    Raises:
        InvalidSetting: It is no time, or has no time zone.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise InvalidSetting(f"{option} is {text!r}; it must be a time such as 2026-03-01T00:00:00Z") from e
    if moment.tzinfo is None:
        raise InvalidSetting(f"{option} is {text!r}; it must have a time zone, such as 2026-03-01T00:00:00Z")
    return moment


def who() -> str:
    """Whom an audit row names."""
    return os.environ.get("GAUNTLET_WHO") or getpass.getuser()


def progress(text: str) -> None:
    """A line for whoever waits at a terminal."""
    if sys.stderr.isatty():
        click.echo(f"… {text}", err=True)


def print_result(result: Any, as_json: bool, render: Callable[[Any], Any]) -> None:
    """Print a result: as JSON, or as `render` makes text or something of rich's of it."""
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(result, enc_hook=str), indent=2).decode())
        return
    rendered = render(result)
    if isinstance(rendered, str):
        click.echo(rendered)
        return
    from rich.console import Console

    Console().print(rendered)


def suggest(folder: Folder, *commands: str) -> None:
    """What to type next, where people read it: not in a Job, which leaves last words instead."""
    if os.environ.get(LAST_WORDS):
        return
    where = "" if str(folder.path) == HOME else f" --folder {folder.path}"
    for command in commands:
        click.echo(f"  next: gauntlet {command}{where}", err=True)


def explain(error: Exception) -> str:
    """An error as people read it: several problems one a line, and never more than a screen of them."""
    problems = error.problems if isinstance(error, WithProblems) else ()
    if not isinstance(error, WithProblems) or len(problems) < 2:
        return str(error)
    lines = [
        f"{error.what}: {len(problems)} problems (rows are counted from 0)",
        *(str(p) for p in problems[:PROBLEMS_SHOWN]),
    ]
    if len(problems) > PROBLEMS_SHOWN:
        lines.append(f"and {len(problems) - PROBLEMS_SHOWN} more")
    return "\n  ".join(lines)
