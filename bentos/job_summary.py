"""The summary of a CI job: Markdown that GitHub Actions, Gitea and Forgejo show on the job's own page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bentos.errors import Unavailable

SETTING = "GITHUB_STEP_SUMMARY"
"""Names the file; the runner sets it, and nobody else does."""


def check_summary() -> None:
    """Whether the job's summary can be added to, asked before what is to be added takes minutes.

    Raises:
        Unavailable: The file cannot be written.
    """
    _append("")


def add_to_summary(markdown: str) -> None:
    """Add a section to the job's summary; outside a CI job nothing is done.

    Args:
        markdown: The section, with its heading.

    Raises:
        Unavailable: The file cannot be written.
    """
    _append(f"{markdown.rstrip()}\n\n")


def _append(text: str) -> None:
    path = os.environ.get(SETTING)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as e:
        raise Unavailable(f"the job's summary {path} ({SETTING}) cannot be written: {e.strerror or e}") from e


def table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    r"""A Markdown table.

    >>> print(table(("a", "b"), [("1", "x|y")]))
    | a | b |
    |---|---|
    | 1 | x\|y |
    """
    lines = [heading, ("---",) * len(heading), *rows]
    drawn = ["| " + " | ".join(_cell(text) for text in line) + " |" for line in lines]
    drawn[1] = "|" + "---|" * len(heading)
    return "\n".join(drawn)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
