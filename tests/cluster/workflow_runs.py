"""Workflow files on this machine: each `run` step of a job as the runner starts it, and artifacts handed over."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
_UP, _DOWN = "actions/upload-artifact@", "actions/download-artifact@"


@dataclass
class Runner:
    """A clean checkout, and what the repository's settings say.

    Attributes:
        checkout: Where steps run.
        environment: What every step has.
        settings: By the names of expressions, such as `vars.GAUNTLET_DATA`; one that is not there is empty.
        overruled: Variables of steps that cannot be what they are on the forge.
        artifacts: What jobs uploaded, by name.
        said: What each step printed, by its name.
    """

    checkout: Path
    environment: Mapping[str, str]
    settings: dict[str, str]
    overruled: Mapping[str, str]
    artifacts: dict[str, Path] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def job(self, workflow: str, key: str) -> int:
        """Run a job's steps in their order. Returns 0, or the exit code of the step at which it ended."""
        content = yaml.safe_load((self.checkout / ".github" / "workflows" / workflow).read_text())
        code = 0
        for step in content["jobs"][key]["steps"]:
            if code and step.get("if") != "always()":
                continue
            code = self.step(step) or code
        return code

    def step(self, step: Mapping[str, Any]) -> int:
        """Run one step. Returns its exit code."""
        used = step.get("uses", "")
        if used.startswith(_UP):
            self._upload(step["with"])
        elif used.startswith(_DOWN):
            shutil.copytree(
                self.artifacts[step["with"]["name"]], self.checkout / step["with"]["path"], dirs_exist_ok=True
            )
        if "run" not in step:
            return 0
        own = {key: self._resolve(str(value)) for key, value in step.get("env", {}).items()}
        done = subprocess.run(
            shlex.split(step["run"]),
            cwd=self.checkout,
            env={**self.environment, **own, **self.overruled},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.said[step["name"]] = done.stdout
        return done.returncode

    def _upload(self, what: Mapping[str, str]) -> None:
        place = self.checkout.parent / "artifacts" / what["name"]
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for path in (self.checkout / one for one in what["path"].split()):
            if path.is_dir():
                shutil.copytree(path, place, dirs_exist_ok=True)
            elif path.exists():
                shutil.copy(path, place)
        assert what.get("if-no-files-found") != "error" or any(place.iterdir()), f"nothing to upload as {what['name']}"
        self.artifacts[what["name"]] = place

    def _resolve(self, text: str) -> str:
        """Fill expressions in: names, and the first of several that is not empty."""
        return _EXPRESSION.sub(lambda found: self._first(found[1]), text)

    def _first(self, expression: str) -> str:
        for one in expression.split("||"):
            word = one.strip()
            value = word[1:-1] if word.startswith("'") else self.settings.get(word, "")
            if value:
                return value
        return ""
