"""Every file under `grafana/` that is made by code, and what makes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grafana import drift

HERE = Path(__file__).parent

GENERATED: tuple[tuple[str, Callable[[], str]], ...] = (("rules/drift.yaml", drift.rules_text),)
"""Paths from here, and functions that give the texts."""


def differing(folder: Path = HERE) -> list[str]:
    """The paths of those that are not in the folder as they would be made now."""
    return [path for path, text in GENERATED if _read(folder / path) != text()]


def write(folder: Path = HERE) -> list[str]:
    """Make all that differ; gives their paths."""
    found = [(path, text()) for path, text in GENERATED]
    changed = [(path, text) for path, text in found if _read(folder / path) != text]
    for path, text in changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return [path for path, _ in changed]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
