"""Builders of images: docker (buildx, where it is), podman, nerdctl and buildah, behind the few calls it takes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bentos.errors import InvalidSetting, NotFound, Refused, Unavailable

_TRIES = 3
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Wanted:
    """What is to be built.

    Attributes:
        context: The folder that COPY reads.
        dockerfile: Its steps.
        reference: What the image is called, `NAME:TAG`.
        arguments: Build arguments.
        labels: Of the image.
        epoch: Seconds since 1970 that every file and the image itself are dated with.
        further: What else the builder's own build command is given.
    """

    context: Path
    dockerfile: Path
    reference: str
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    epoch: int
    further: Sequence[str] = ()

    def flags(self) -> list[str]:
        """What every builder understands."""
        arguments = [f"--build-arg={key}={value}" for key, value in self.arguments.items()]
        labels = [f"--label={key}={value}" for key, value in self.labels.items()]
        return ["--file", str(self.dockerfile), "--tag", self.reference, *arguments, *labels, *self.further]


class Engine(Protocol):
    """A builder of images."""

    @property
    def name(self) -> str:
        """As `--engine` names it."""

    def problem(self) -> str | None:
        """Why it cannot build here; None where it can."""

    def digest_of_base(self, reference: str) -> str:
        """The digest of a base image, which is pulled if it is not at hand."""

    def build(self, wanted: Wanted) -> str:
        """Build; gives the image's id, the digest of its configuration."""

    def run(self, reference: str, *command: str) -> str:
        """What a command prints in a container of the image, as root: it may read everything."""

    def save(self, reference: str, archive: Path) -> None:
        """Write the image as a docker archive, which every container runtime can load."""

    def push(self, reference: str) -> str:
        """Push it, and give the digest by which it can be pulled."""


@dataclass(frozen=True)
class DockerLike:
    """docker, podman and nerdctl, whose command lines are one family."""

    name: str

    def problem(self) -> str | None:
        """Not installed, or its daemon does not answer."""
        return _problem_of(self.name, "info")

    def digest_of_base(self, reference: str) -> str:
        """From its repository digests; a base that was loaded from a file has none but its own."""
        if _problem_of(self.name, "image", "inspect", reference) is not None:
            _call(self.name, "pull", reference)
        said = _call(self.name, "image", "inspect", reference)
        (image,) = json.loads(said)
        named = [*(image.get("RepoDigests") or ()), image.get("Digest") or "", image.get("Id") or ""]
        return _first_digest(named, f"{self.name} image inspect {reference}")

    def build(self, wanted: Wanted) -> str:
        """With buildx where docker has it."""
        command = [self.name, "build"]
        if self.name == "podman":
            command += [f"--timestamp={wanted.epoch}", "--format=docker"]
        elif self.name == "docker" and _problem_of("docker", "buildx", "version") is None:
            # An attestation is dated, so it would make every build another one.
            command = ["docker", "buildx", "build", "--provenance=false", "--sbom=false"]
            command += ["--output=type=docker,rewrite-timestamp=true"]
        _call(*command, *wanted.flags(), str(wanted.context), epoch=wanted.epoch, quiet=False)
        (image,) = json.loads(_call(self.name, "image", "inspect", wanted.reference))
        return _first_digest([_as_digest(image["Id"])], f"{self.name} image inspect {wanted.reference}")

    def run(self, reference: str, *command: str) -> str:
        """In a container that is gone afterwards, without network."""
        first, *rest = command
        flags = ("--rm", "--user=0", "--network=none", f"--entrypoint={first}")
        return _call(self.name, "run", *flags, reference, *rest)

    def save(self, reference: str, archive: Path) -> None:
        """`save`, whose default is a docker archive."""
        _call(self.name, "save", "--output", str(archive), reference)

    def push(self, reference: str) -> str:
        """`push`, and the digest that the registry gave."""
        _call(self.name, "push", reference, quiet=False)
        (image,) = json.loads(_call(self.name, "image", "inspect", reference))
        repository = reference.rpartition(":")[0]
        named = [one for one in image.get("RepoDigests") or () if one.startswith(f"{repository}@")]
        return _first_digest(named, f"{self.name} push {reference}")


@dataclass(frozen=True)
class Buildah:
    """buildah, which needs no daemon. BUILDAH_ISOLATION=chroot lets it build where there are no namespaces."""

    name: str = "buildah"

    def problem(self) -> str | None:
        """Not installed, or its storage cannot be read."""
        return _problem_of(self.name, "images", "--quiet")

    def digest_of_base(self, reference: str) -> str:
        """As the registry names it; of one that was loaded from a file, its configuration's."""
        try:
            said = _call("buildah", "inspect", "--type=image", "--format={{.FromImageDigest}}", reference)
        except Refused:
            _call("buildah", "pull", reference)
            said = _call("buildah", "inspect", "--type=image", "--format={{.FromImageDigest}}", reference)
        return _first_digest([said], f"buildah inspect {reference}")

    def build(self, wanted: Wanted) -> str:
        """In the OCI format: docker's would name the machine that built, so that no two builds were the same."""
        command = [
            "buildah",
            "build",
            "--format=oci",
            "--identity-label=false",
            "--pull=missing",
            "--layers",
            f"--timestamp={wanted.epoch}",
        ]
        _call(*command, *wanted.flags(), str(wanted.context), quiet=False)
        said = _call("buildah", "inspect", "--type=image", "--format={{.FromImageID}}", wanted.reference)
        return _first_digest([_as_digest(said.strip())], f"buildah inspect {wanted.reference}")

    def run(self, reference: str, *command: str) -> str:
        """In a working container that is gone afterwards."""
        container = _call("buildah", "from", "--pull=never", reference).strip()
        try:
            for _ in range(_TRIES - 1):
                # buildah copies itself into memory to run; on a busy machine it may find that copy in use.
                with suppress(Refused):
                    return _call("buildah", "run", "--user=0", container, "--", *command)
            return _call("buildah", "run", "--user=0", container, "--", *command)
        finally:
            _call("buildah", "rm", container)

    def save(self, reference: str, archive: Path) -> None:
        """As a docker archive that holds the reference."""
        archive.unlink(missing_ok=True)  # buildah adds to an archive, and refuses to replace what it holds
        _call("buildah", "push", reference, f"docker-archive:{archive}:{reference}")

    def push(self, reference: str) -> str:
        """To the registry that the reference names."""
        with tempfile.NamedTemporaryFile("r", prefix="gauntlet-digest-") as told:
            _call("buildah", "push", f"--digestfile={told.name}", reference, f"docker://{reference}", quiet=False)
            return _first_digest([told.read()], f"buildah push {reference}")


ENGINES: tuple[Engine, ...] = (DockerLike("docker"), DockerLike("podman"), DockerLike("nerdctl"), Buildah())
"""In the order in which they are tried."""


def find_engine(name: str | None) -> Engine:
    """The named builder, or the first that can build here.

    Raises:
        InvalidSetting: None has this name.
        Unavailable: It cannot build here, or none can; the message says why not.
    """
    named = {engine.name: engine for engine in ENGINES}
    if name is not None and name not in named:
        raise InvalidSetting(f"there is no engine {name!r}; it must be one of {', '.join(named)}")
    problems = []
    for engine in ENGINES if name is None else (named[name],):
        problem = engine.problem()
        if problem is None:
            return engine
        problems.append(f"{engine.name}: {problem}")
    raise Unavailable("nothing builds images here: " + "; ".join(problems))


def _problem_of(program: str, *arguments: str) -> str | None:
    if shutil.which(program) is None:
        return "not installed"
    asked = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if asked.returncode == 0:
        return None
    return next(iter(asked.stderr.strip().splitlines()[-1:]), f"exit code {asked.returncode}")


def _call(*command: str, epoch: int | None = None, quiet: bool = True) -> str:
    """Run it and give what it printed.

    Raises:
        NotFound: There is no such program.
        Refused: It failed; the message ends with its last words.
    """
    environment = os.environ if epoch is None else {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    try:
        done = subprocess.run(  # noqa: S603
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else subprocess.STDOUT,
            text=True,
            check=False,
        )
    except FileNotFoundError as e:
        raise NotFound(f"{command[0]} is not installed") from e
    if done.returncode:
        raise Refused(f"{' '.join(command[:3])} failed with exit code {done.returncode}:\n{_end_of(done)}")
    return done.stdout


def _end_of(done: subprocess.CompletedProcess[str]) -> str:
    lines: list[str] = [*(done.stdout or "").splitlines(), *(done.stderr or "").splitlines()]
    return "\n".join(lines[-30:])


def _as_digest(image_id: str) -> str:
    return image_id if image_id.startswith("sha256:") else f"sha256:{image_id}"


def _first_digest(texts: Sequence[str], source: str) -> str:
    found = next(_digests(texts), None)
    if found is None:
        raise Refused(f"{source} tells no digest")
    return found


def _digests(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        match = _DIGEST.search(text)
        if match:
            yield match[0]
