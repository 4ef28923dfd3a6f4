"""The programs of CI in a copy of `.ci`, among stand-ins on PATH that note what they are asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]

SAID = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$SAID"
"""
"""A stand-in that does nothing more, and how others begin."""


def lay_out(place: Path) -> Path:
    """A checkout with the programs of CI, and `bin` for stand-ins."""
    shutil.copytree(ROOT / ".ci", place / ".ci")
    (place / "bin").mkdir()
    return place


def put(path: Path, content: str) -> None:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)


def run(checkout: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the checkout with stand-ins before all else on PATH."""
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    given = {"PATH": path, "SAID": str(checkout / "said"), "HOME": str(checkout), **environment}
    return subprocess.run(command, cwd=checkout, env=given, capture_output=True, text=True, check=False)


def said(checkout: Path) -> list[str]:
    """What stand-ins were asked, a line each in its order."""
    path = checkout / "said"
    return path.read_text().splitlines() if path.exists() else []
