"""The console's own scripts and styles, each at an address that changes with its content, so that browsers may keep it.

Dash would name them by the time of their files, which all files of an image may share: after an upgrade browsers would
go on with the code of before.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "assets"
AT = "/assets/"

_SHOWN = 16
_POLYFILL, _TABLES = "/polyfill@", "/dash_table/"
"""Of Dash: what browsers of ten years ago lacked, for which each page would wait a twentieth of a second, and Dash's
former tables. Of the first, two of its scripts need one function, which `generators.js` is."""
_SCRIPTS = ("screen.js", "console.js", "grid.js", "models.js", "trouble.js")
_STYLES = ("console.css", "experiment.css", "reports.css")


@cache
def _versions() -> dict[str, str]:
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:_SHOWN] for path in files}


def address(name: str) -> str:
    """Where a file is to be had, by its content.

    >>> address("theme.js").partition("=")[0]
    '/assets/theme.js?v'
    """
    return f"{AT}{name}?v={_versions()[name]}"


def may_be_kept(path: str, version: str) -> bool:
    """Whether what lies at a path is what its address promises; during an upgrade it may be another version's."""
    return path.startswith(AT) and _versions().get(path.removeprefix(AT)) == version


def script_tags() -> str:
    """The scripts of every page, as HTML."""
    return "\n".join(map(_tag, _SCRIPTS))


def needed_of_dash(scripts: str) -> str:
    """Dash's own scripts, one a line, without those that no page needs."""
    lines = [line for line in scripts.splitlines() if _POLYFILL not in line and _TABLES not in line]
    return "\n".join([_tag("generators.js"), *lines])


def _tag(name: str) -> str:
    return f'<script src="{address(name)}"></script>'


def style_tags() -> str:
    """The styles of every page, as HTML."""
    return "\n".join(f'<link rel="stylesheet" href="{address(name)}">' for name in _STYLES)
