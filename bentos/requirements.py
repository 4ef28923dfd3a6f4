"""What an image installs: its group of `uv.lock`, as pinned requirements.

The lock is read here, not exported by uv, so that packing needs neither uv nor an index wherever it runs; a test holds
the result against `uv export`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.markers import Marker

from bentos.errors import NotFound

PROJECT = "gauntlet"
SERVING, INSIGHT = "serving", "insight"
"""Groups of packages that a Bento installs."""


def read_requirements(lock: Path, *, python: str, group: str = SERVING) -> list[str]:
    """Everything that the project's own dependencies and a group need in an image, pinned.

    Args:
        lock: `uv.lock`.
        python: The image's Python, such as `3.11`.
        group: Of `pyproject.toml`'s dependency groups.

    Returns:
        Lines `name==version`, sorted; for Linux and CPython.

    Raises:
        NotFound: There is no lock.
    """
    try:
        locked = tomllib.loads(lock.read_text())
    except FileNotFoundError as e:
        raise NotFound(f"there is no {lock}; package from a checkout of Gauntlet") from e
    packages = [package for package in locked["package"] if package["name"] != PROJECT]
    project = next(package for package in locked["package"] if package["name"] == PROJECT)
    environment = _linux(python)
    found: dict[tuple[str, str], None] = {}
    waiting = [*_needed(project, environment), *_wanted(project["dev-dependencies"][group], environment)]
    while waiting:
        dependency = waiting.pop()
        package = _find(packages, dependency)
        key = (package["name"], package["version"])
        if key not in found:
            found[key] = None
            waiting.extend(_needed(package, environment))
        for extra in dependency.get("extra", ()):
            waiting.extend(_wanted(package["optional-dependencies"][extra], environment))
    return sorted(f"{name}=={version}" for name, version in found)


def _needed(package: Mapping[str, Any], environment: dict[str, str]) -> Iterator[Mapping[str, Any]]:
    return _wanted(package.get("dependencies", []), environment)


def _wanted(dependencies: list[Mapping[str, Any]], environment: dict[str, str]) -> Iterator[Mapping[str, Any]]:
    for dependency in dependencies:
        if "marker" not in dependency or Marker(dependency["marker"]).evaluate(environment):
            yield dependency


def _find(packages: list[Mapping[str, Any]], dependency: Mapping[str, Any]) -> Mapping[str, Any]:
    """The locked package: a dependency names a version where the lock holds several."""
    return next(
        package
        for package in packages
        if package["name"] == dependency["name"] and dependency.get("version", package["version"]) == package["version"]
    )


def _linux(python: str) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
