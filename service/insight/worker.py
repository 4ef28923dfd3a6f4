"""One worker of insight's pool: loads the Bento's pipelines, then explains a row at a time until its stdin ends.

`python -m service.insight.worker SOURCE STORE…`. Every artifact is verified against its manifest before skops reads a
byte of it, and skops makes no type that is not on the list in `bentos.pipeline`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from bentos.artifact import load_artifact
from bentos.errors import ArtifactDamaged, GauntletError, NotFound
from bentos.pipeline import load_estimator
from bentos.roles import ROLES, find_artifact, read_roles
from service.insight.explanation import ExplainedModel
from service.insight.frames import HEAD, Ask, Told, frame


def load_explained(source: Path, stores: Sequence[Path]) -> dict[str, ExplainedModel]:
    """Every model of a Bento, ready to explain, by digest.

    Args:
        source: The Bento's `src` folder.
        stores: Folders in which BentoML keeps models.

    Raises:
        NotFound: A model is nowhere.
        ArtifactDamaged: A model is not what was packed, or its pipeline holds a type that is not trusted.
    """
    found = {}
    for packed in read_roles(source / ROLES).models:
        artifact = load_artifact(find_artifact(packed, tuple(stores)))
        if artifact.digest != packed.digest:
            raise ArtifactDamaged(f"{artifact.folder} is {artifact.digest}, and {ROLES} names {packed.digest}")
        pipeline = load_estimator(artifact.folder / "estimator.skops")
        found[packed.digest] = ExplainedModel(pipeline, artifact.contract, artifact.reference)
    return found


def answer(models: Mapping[str, ExplainedModel], asked: Ask) -> Told:
    """Explain one row. Whatever fails is told: only its class where it may quote a row."""
    try:
        if asked.digest not in models:
            raise NotFound(f"this worker does not carry {asked.digest}")
        return Told(explanation=models[asked.digest].explain(np.frombuffer(asked.row, dtype=np.float32)))
    except GauntletError as e:
        return Told(error=type(e).__name__, reason=str(e))
    except Exception as e:  # of SHAP or scikit-learn, which raise whatever they like
        return Told(error=GauntletError.__name__, reason=f"explaining failed with {type(e).__name__}")


def run(models: Mapping[str, ExplainedModel], asks: BinaryIO, tells: BinaryIO) -> None:
    """Answer until there is nothing more to read."""
    tells.write(frame(Told()))
    tells.flush()
    while len(head := asks.read(HEAD.size)) == HEAD.size:
        (length,) = HEAD.unpack(head)
        tells.write(frame(answer(models, msgspec.msgpack.decode(asks.read(length), type=Ask))))
        tells.flush()


def main(arguments: Sequence[str]) -> int:
    """Be a worker. Returns the exit code."""
    tells = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand between two answers
    source, *stores = map(Path, arguments)
    try:
        run(load_explained(source, stores), sys.stdin.buffer, tells)
    except GauntletError as e:
        tells.write(frame(Told(error=type(e).__name__, reason=str(e))))
        tells.flush()
        return 2
    except BrokenPipeError:  # whoever asked is gone
        os.dup2(2, tells.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
