"""What scoring installs: read from the lock, and the same that uv would export."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bentos.errors import NotFound
from bentos.requirements import read_requirements

CHECKOUT = Path(__file__).resolve().parents[3]
UV = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=str(CHECKOUT / ".uv" / "bin"))


@pytest.mark.skipif(UV is None, reason="there is no uv to compare with")
@pytest.mark.parametrize("group", ["serving", "insight"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_requirements_are_those_that_uv_exports(python, group):
    command = [UV, "export", "--offline", "--frozen", "--no-default-groups", "--group", group, "--no-hashes"]
    options = ["--no-emit-project", "--no-header", "--no-annotate", "--quiet"]
    exported = subprocess.run([*command, *options], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    linux = {"sys_platform": "linux", "python_version": python, "python_full_version": f"{python}.0"}
    environment = {**linux, "implementation_name": "cpython", "platform_python_implementation": "CPython"}
    wanted = [Requirement(line) for line in exported.splitlines()]
    expected = {f"{r.name}{r.specifier}" for r in wanted if r.marker is None or r.marker.evaluate(environment)}
    assert set(read_requirements(CHECKOUT / "uv.lock", python=python, group=group)) == expected


def test_what_every_process_carries_is_there_and_training_is_not():
    names = {line.partition("==")[0] for line in read_requirements(CHECKOUT / "uv.lock", python="3.11")}
    assert {"bentoml", "click", "httptools", "msgspec", "numpy", "onnxruntime", "pydantic-settings", "uvloop"} <= names
    assert not names & {"scikit-learn", "mlflow", "pandas", "sqlalchemy", "shap", "gauntlet"}


def test_insight_installs_what_explains_and_nothing_that_scores_or_trains():
    lock = CHECKOUT / "uv.lock"
    names = {line.partition("==")[0] for line in read_requirements(lock, python="3.11", group="insight")}
    assert {"bentoml", "httptools", "scikit-learn", "shap", "skops", "uvicorn", "numpy", "msgspec"} <= names
    assert not names & {"onnxruntime", "mlflow", "sqlalchemy", "skl2onnx", "gauntlet"}


def test_extras_are_followed(tmp_path):
    lock = tmp_path / "uv.lock"
    lock.write_text(
        """
        [[package]]
        name = "gauntlet"
        version = "0"
        dependencies = [{ name = "a", extra = ["fast"] }]
        [package.dev-dependencies]
        serving = [{ name = "w", marker = "sys_platform == 'win32'" }]
        [[package]]
        name = "a"
        version = "1"
        [package.optional-dependencies]
        fast = [{ name = "b" }]
        [[package]]
        name = "b"
        version = "2"
        """
    )
    assert read_requirements(lock, python="3.11") == ["a==1", "b==2"]


def test_outside_a_checkout_the_reason_is_said(tmp_path):
    with pytest.raises(NotFound, match=r"uv\.lock"):
        read_requirements(tmp_path / "uv.lock", python="3.11")
