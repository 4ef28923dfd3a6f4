"""From inputs to an image: context, build, bill, archive or registry."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bentos.artifact import check_file, check_folder, write_beside
from bentos.errors import InvalidSetting, shown
from bentos.folder import Folder
from bentos.images.bill import make_bill, read_installed
from bentos.images.contexts import Context, lay_out_insight, lay_out_jobs, lay_out_scoring
from bentos.images.engines import Engine, Wanted
from bentos.images.release import check_release, write_release
from bentos.packing import CHECKOUT, read_version

INSTALLED = "/app/installed.json"
LICENSE = "Apache-2.0"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    # A first part without dot and port is no host but a part of the repository, whose letters are small.
    rf"(?P<name>(?:(?:localhost|{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?=:)|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?"
    rf"{_PART}(?:/{_PART})*):\w[\w.-]{{0,127}}",
    re.ASCII,
)
"""`NAME:TAG` as the OCI distribution specification has it: a host, a repository of small letters, a tag."""
_LONGEST_NAME = 255


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was built.

    Attributes:
        reference: `NAME:TAG`.
        id: The digest of its configuration: the same inputs give the same.
        base: `NAME@sha256:…`, what it was built on.
        engine: What built it.
        unpacked_mb: What its files take on a node, in millions of bytes.
        packages: How many Python distributions and Debian packages it holds.
        labels: What it says of itself.
        bill: Where its bill of materials is.
        archive: Where it was written as a docker archive; None: nowhere.
        digest: By which it can be pulled, where it was pushed; else None.
    """

    reference: str
    id: str
    base: str
    engine: str
    unpacked_mb: float
    packages: int
    labels: dict[str, str]
    bill: str
    archive: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Order:
    """What is to be made.

    Attributes:
        kind: One of `bentos.images.KINDS`.
        reference: `NAME:TAG`.
        base: The image to build on, by tag or digest.
        bill: Where the bill of materials is written.
        archive: Where the image is written as a docker archive; None: nowhere.
        is_pushed: Whether it is pushed.
        release: The release that it is put into once it is pushed; None: none.
        further: What else the builder's own build command is given.
    """

    kind: str
    reference: str
    base: str
    bill: Path
    archive: Path | None = None
    is_pushed: bool = False
    release: Path | None = None
    further: Sequence[str] = ()


def make_image(order: Order, engine: Engine, folder: Folder, *, progress: Callable[[str], None]) -> Image:
    """Build an image, and say what it holds.

    Args:
        order: What.
        engine: Builds.
        folder: The installation, whose Bentos the images of scoring and insight hold.
        progress: Is told what goes on.

    Raises:
        BadInput: As `check_order`.
        NotFound: There is no Bento, or no checkout.
        Refused: The builder fails.
    """
    check_order(order)
    epoch, revision = when_and_what(CHECKOUT)
    progress(f"base {order.base}")
    base_digest = engine.digest_of_base(order.base)
    with tempfile.TemporaryDirectory(prefix="gauntlet-image-") as place:
        context = _context(order.kind, Path(place), folder, epoch)
        labels = {**_labels(order, revision, base_digest), **context.labels}
        progress(f"{order.reference} by {engine.name}")
        image_id = engine.build(_wanted(order, context, labels, epoch))
    progress("what it holds")
    packages = list(read_installed(engine.run(order.reference, "cat", INSTALLED).encode()))
    size = int(engine.run(order.reference, "du", "--summarize", "--one-file-system", "--block-size=1", "/").split()[0])
    bill = make_bill(
        packages,
        image=order.reference,
        image_id=image_id,
        base=order.base,
        base_digest=base_digest,
        roles=context.roles,
        epoch=epoch,
    )
    write_beside(order.bill, bill)
    return Image(
        reference=order.reference,
        id=image_id,
        base=f"{order.base.partition('@')[0]}@{base_digest}",
        engine=engine.name,
        unpacked_mb=round(size / 1e6, 1),
        packages=len(packages),
        labels=labels,
        bill=str(order.bill),
        archive=_archived(order, engine),
        digest=_pushed(order, engine, context),
    )


def _wanted(order: Order, context: Context, labels: dict[str, str], epoch: int) -> Wanted:
    return Wanted(
        context=context.folder,
        dockerfile=context.dockerfile,
        reference=order.reference,
        arguments={"BASE": order.base},
        labels=labels,
        epoch=epoch,
        further=order.further,
    )


def _archived(order: Order, engine: Engine) -> str | None:
    if order.archive is None:
        return None
    order.archive.parent.mkdir(parents=True, exist_ok=True)
    engine.save(order.reference, order.archive)
    return str(order.archive)


def _pushed(order: Order, engine: Engine, context: Context) -> str | None:
    """The digest that the registry gave, which the release then names."""
    if not order.is_pushed:
        return None
    digest = engine.push(order.reference)
    if order.release is not None:
        repository = order.reference.rpartition(":")[0]
        # Only the scoring Deployment says which models it carries: the API server asks no other.
        roles = context.roles if order.kind == "scoring" else None
        write_release(order.release, name=f"gauntlet-{order.kind}", repository=repository, digest=digest, roles=roles)
    return digest


def check_order(order: Order) -> None:
    """Whether an image can be called as is asked, and kept where.

    Raises:
        InvalidSetting: The reference is no `NAME:TAG`, or something could not be written where it is to go.
        BadInput: What is to become a release is something else.
    """
    if order.release is not None and not order.is_pushed:
        raise InvalidSetting("--release goes with --push: only a registry gives the digest by which an image is pulled")
    found = _REFERENCE.fullmatch(order.reference)
    if found is None or len(found["name"]) > _LONGEST_NAME:
        raise InvalidSetting(
            f"--tag is {shown(order.reference)}; it must be NAME:TAG, such as registry.example/gauntlet:1, with small "
            f"letters, digits and . _ - between them in NAME (at most {_LONGEST_NAME}), and letters, digits and . _ - "
            "in TAG (at most 128)"
        )
    # A build takes minutes: what could not be kept afterwards is said before.
    check_file("--sbom", order.bill)
    if order.archive is not None:
        check_file("--archive", order.archive)
    if order.release is not None:
        check_folder("--release", order.release)
        check_release(order.release)


def _context(kind: str, place: Path, folder: Folder, epoch: int) -> Context:
    if kind == "jobs":
        return lay_out_jobs(place)
    return (lay_out_scoring if kind == "scoring" else lay_out_insight)(place, folder, epoch)


def _labels(order: Order, revision: str, base_digest: str) -> dict[str, str]:
    named = "org.opencontainers.image"
    found = {
        f"{named}.title": f"gauntlet-{order.kind}",
        f"{named}.version": read_version(CHECKOUT),
        f"{named}.licenses": LICENSE,
        f"{named}.revision": revision,
        f"{named}.base.name": order.base,
        f"{named}.base.digest": base_digest,
    }
    return {key: value for key, value in found.items() if value}


def when_and_what(checkout: Path) -> tuple[int, str]:
    """When the content is dated, and the commit's name, with a plus where something is not committed.

    Dated when uv.lock was last committed: a later commit with the same packages makes the same layer of them,
    which no node takes anew. 0 and nothing where there is no git.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        except FileNotFoundError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    when, revision = git("log", "-1", "--format=%ct", "--", "uv.lock"), git("rev-parse", "HEAD")
    changed = "+" if revision and git("status", "--porcelain", "--untracked-files=no") else ""
    return int(when or 0), f"{revision}{changed}"
