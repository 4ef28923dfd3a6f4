"""The process that builds a Bento: models into BentoML's store, then `bentoml build`; job in, tag out."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec

from bentos.artifact import BLESSING, verify, write_beside
from bentos.errors import ArtifactDamaged, NotFound
from bentos.roles import ARTIFACT


class BuildJob(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be built.

    Attributes:
        source: The folder with code, `roles.json`, `requirements.txt` and `bentofile.yaml`.
        models: For each tag the folder of its artifact.
        metadata: For each tag what the model store keeps with it.
    """

    source: str
    models: dict[str, str]
    metadata: dict[str, dict[str, str | None]]


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What was built.

    Attributes:
        tag: As BentoML names it.
        path: Its folder.
    """

    tag: str
    path: str


def build(job: BuildJob) -> Built:
    """Build a Bento in the BentoML home of this process."""
    import bentoml

    for tag, artifact in job.models.items():
        _store_model(tag, Path(artifact), {key: value or "" for key, value in job.metadata[tag].items()})
    bento = bentoml.bentos.build_bentofile(str(Path(job.source) / "bentofile.yaml"), build_ctx=job.source)
    return Built(tag=str(bento.tag), path=str(bento.path))


def _store_model(tag: str, artifact: Path, metadata: dict[str, str]) -> None:
    """Copy an artifact into the model store; one that is there and whole is the same, as its tag is its digest."""
    import bentoml

    try:
        stored = Path(bentoml.models.get(tag).path_of(ARTIFACT))
        verify(stored)
    except bentoml.exceptions.NotFound:
        pass
    except (ArtifactDamaged, NotFound):
        bentoml.models.delete(tag)
    else:
        _renew_blessing(artifact, stored)
        return
    with bentoml.models.create(tag, metadata=metadata) as model:
        shutil.copytree(artifact, Path(model.path_of(ARTIFACT)))


def _renew_blessing(artifact: Path, stored: Path) -> None:
    """A model may pass another gate after it was stored: its blessing is no part of its digest."""
    if (artifact / BLESSING).is_file():
        write_beside(stored / BLESSING, (artifact / BLESSING).read_bytes())


def main() -> None:
    """Read a job from stdin, build, and write what was built to stdout as its last line."""
    built = build(msgspec.json.decode(sys.stdin.buffer.read(), type=BuildJob))
    sys.stdout.write(msgspec.json.encode(built).decode() + "\n")


if __name__ == "__main__":
    main()
