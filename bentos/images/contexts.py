"""What goes into an image: laid out in a folder of its own, the same files from the same inputs."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from bentos.artifact import sha256
from bentos.errors import NotFound
from bentos.folder import Folder
from bentos.packing import CHECKOUT
from bentos.roles import ARTIFACT, ROLES, BentoRoles, find_artifact, read_roles, told_of

HERE = Path(__file__).parent
SLIMMING = HERE / "slimming.py"

CODE = ("gauntlet.py", "pyproject.toml", "uv.lock", "bentos", "k8s", "service", "training", "validation")
"""What the image of Jobs holds of a checkout."""


@dataclass(frozen=True)
class Context:
    """A build context.

    Attributes:
        folder: What COPY reads.
        dockerfile: The steps.
        labels: What the content says of itself.
        roles: The models inside; None where there are none.
    """

    folder: Path
    dockerfile: Path
    labels: dict[str, str]
    roles: BentoRoles | None = None


def lay_out_jobs(target: Path, checkout: Path = CHECKOUT) -> Context:
    """The code of a checkout, without what running it left there.

    Args:
        target: An empty folder.
        checkout: Where the code is.

    Raises:
        NotFound: It is no checkout.
    """
    for name in CODE:
        source = checkout / name
        if not source.exists():
            raise NotFound(f"there is no {source}; images are built from a checkout of Gauntlet")
        _copy(source, target / name)
    _copy(SLIMMING, target / SLIMMING.name)
    return Context(target, HERE / "jobs.Dockerfile", {})


def lay_out_scoring(target: Path, folder: Folder, epoch: int) -> Context:
    """The Bento that `gauntlet package` built last, with the models that it names inside; see `_lay_out_bento`."""
    return _lay_out_bento(target, folder.bento, HERE / "scoring.Dockerfile", folder, epoch)


def lay_out_insight(target: Path, folder: Folder, epoch: int) -> Context:
    """The Bento that was built of the same models to explain them; see `_lay_out_bento`."""
    return _lay_out_bento(target, folder.insight_bento, HERE / "insight.Dockerfile", folder, epoch)


def _lay_out_bento(target: Path, bento: Path, dockerfile: Path, folder: Folder, epoch: int) -> Context:
    """A Bento with the models that it names inside, and apart from it the code, which other models leave as it is.

    BentoML dates what it builds and gives it a random version; here both follow from the content, so that the same
    models and the same code make the same image.

    Args:
        target: An empty folder: `code` is to become a layer of its own, `bento` all the rest.
        bento: The Bento.
        dockerfile: The steps.
        folder: The installation.
        epoch: Seconds since 1970 that the content is dated with.

    Raises:
        NotFound: Nothing was packed, or a model is gone.
    """
    if not bento.exists():
        raise NotFound(f"there is no {bento}; pack the champion first: gauntlet package")
    code, rest = target / "code", target / "bento"
    _copy(bento.resolve(), rest)
    version_of_bento = _digest_of(rest / "src")[:12]
    (rest / "src").rename(code)
    (rest / "src").mkdir()
    (code / ROLES).rename(rest / "src" / ROLES)
    roles = read_roles(rest / "src" / ROLES)
    for model in roles.models:
        artifact = find_artifact(model, (folder.bentoml / "models",))
        name, _, version = model.tag.partition(":")
        place = rest / "models" / name / version
        _copy(artifact, place / ARTIFACT)
        _redate(artifact.parent / "model.yaml", place / "model.yaml", epoch)
        (place.parent / "latest").unlink(missing_ok=True)
    _redate(rest / "bento.yaml", rest / "bento.yaml", epoch, version=version_of_bento)
    _copy(SLIMMING, target / SLIMMING.name)
    _let_all_read(rest)
    labels = {f"gauntlet.{name}": text for name, text in told_of(roles).items() if text}
    return Context(target, dockerfile, labels, roles)


def _redate(source: Path, target: Path, epoch: int, **changes: str) -> None:
    content = yaml.safe_load(source.read_text())
    when = datetime.fromtimestamp(epoch, UTC).isoformat()
    content["creation_time"] = when
    for model in content.get("models") or ():
        model["creation_time"] = when
    target.write_text(yaml.safe_dump({**content, **changes}, sort_keys=True))


def _digest_of(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder)} {sha256(path.read_bytes())}\n".encode())
    return total.hexdigest()


def _let_all_read(folder: Path) -> None:
    """A model store is its owner's alone, and in a container another user reads it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
