"""What the servers and browser tiers need is looked for, and brought only as the very archive that was meant."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELL = ("bash", "cat", "dirname", "env", "grep", "gzip", "id", "mkdir", "mktemp", "rm", "sha256sum", "tar")
PRESENT = {
    "initdb": "initdb (PostgreSQL) 15.18",
    "chromium": "Chromium 156",
    "prometheus": "prometheus, version 3.16.0 (branch: HEAD)",
    "promtool": "promtool, version 3.16.0 (branch: HEAD)",
    "alertmanager": "alertmanager, version 0.34.2",
    "amtool": "amtool, version 0.34.2",
}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with everything on it; what is asked of apt-get, sudo and curl goes to `asked`."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in SHELL:
        (place / name).symlink_to(str(shutil.which(name)))
    for name, version in PRESENT.items():
        program(place / name, f"echo '{version}'")
    program(place / "uname", "echo Linux x86_64")
    for name in ("apt-get", "sudo", "curl"):
        program(place / name, f'echo "{name} $*" >> {tmp_path}/asked; exit 1')
    return place


def program(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def had(machine: Path, script: Path = ROOT / ".ci" / "servers") -> tuple[int, str]:
    """The exit code, and what was asked of others."""
    environment = {"PATH": str(machine), "HOME": str(machine.parent), "XDG_CACHE_HOME": str(machine.parent / "cache")}
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True)
    asked = machine.parent / "asked"
    return done.returncode, done.stderr + (asked.read_text() if asked.exists() else "")


def test_what_is_there_is_taken_and_nobody_is_asked(machine: Path) -> None:
    assert had(machine) == (0, "")


def test_a_missing_chromium_is_asked_of_the_system_and_named(machine: Path) -> None:
    (machine / "chromium").unlink()
    code, told = had(machine)
    assert code == 1
    assert "could not be had: chromium " in told
    assert "apt-get update" in told


def test_google_chrome_serves_as_well(machine: Path) -> None:
    (machine / "chromium").rename(machine / "google-chrome")
    assert had(machine) == (0, "")


def test_version_3_is_known_by_its_number_as_a_go_module_too(machine: Path) -> None:
    program(machine / "prometheus", "echo 'prometheus, version v0.316.0 (branch: , revision: unknown)'")
    assert had(machine) == (0, "")


@pytest.mark.parametrize("version", ["2.45.3+ds", "v0.255.1"])
def test_prometheus_of_version_2_is_none(machine: Path, version: str) -> None:
    program(machine / "prometheus", f"echo 'prometheus, version {version} (branch: debian/sid)'")
    code, told = had(machine)
    assert code == 1
    assert "could not be had: prometheus " in told
    assert "releases/download/v3." in told


@pytest.fixture
def release(machine: Path) -> bytes:
    """An archive of Alertmanager as its releases are, which curl brings."""
    (machine / "alertmanager").unlink()
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name in ("alertmanager", "amtool", "LICENSE"):
            entry = tarfile.TarInfo(f"alertmanager-0.34.0.linux-amd64/{name}")
            entry.mode, text = 0o755, b"#!/bin/sh\necho mine\n"
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    (machine.parent / "archive").write_bytes(held.getvalue())
    program(machine / "curl", f'while [ "$1" != -o ]; do shift; done; cat {machine.parent}/archive > "$2"')
    return held.getvalue()


def test_a_release_is_unpacked_where_it_is_the_one_that_was_meant(machine: Path, release: bytes) -> None:
    checkout = machine.parent / "checkout" / ".ci"
    checkout.mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "steps.sh", checkout)
    text = (ROOT / ".ci" / "servers").read_text()
    digest = text.split("ALERTMANAGER=(alertmanager 0.34.0 ")[1].split(")")[0]
    (checkout / "servers").write_text(text.replace(digest, hashlib.sha256(release).hexdigest()))
    assert had(machine, checkout / "servers") == (0, "")
    tools = machine.parent / "cache" / "gauntlet-tools"
    assert sorted(path.name for path in tools.iterdir()) == ["alertmanager", "amtool"]


def test_another_archive_than_the_one_that_was_meant_is_not_unpacked(machine: Path, release: bytes) -> None:
    code, told = had(machine)
    assert code == 1
    assert "could not be had: alertmanager " in told
    assert list((machine.parent / "cache" / "gauntlet-tools").iterdir()) == []
