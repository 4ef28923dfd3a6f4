"""Server `floor`: the same two scores and nothing else. Decode, encode the row, both models, answer.

No validation of the envelope, no routing, no prediction log, no metrics, no keys, no limits.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np

from bentos.artifact import Encoder, Value, floats_of, load_artifact
from tests.bench.servers.asgi import Answer, serve


class Request(msgspec.Struct, gc=False):
    """What it reads."""

    customer_id: str
    features: dict[str, Value]


class Said(msgspec.Struct, gc=False):
    """What it answers."""

    champion: float
    challenger: float


def make(folders: list[Path]) -> Answer:
    """The answer from the artifacts of champion and challenger."""
    artifacts = [load_artifact(folder) for folder in folders]
    encoder = Encoder(artifacts[0].contract)
    row = np.zeros((1, encoder.width), dtype=np.float32)
    floats = floats_of(row)
    champion, challenger = (artifact.scorer() for artifact in artifacts)
    champion.bind(row)
    challenger.bind(row)
    decode, encode = msgspec.json.Decoder(Request).decode, msgspec.json.Encoder().encode

    def answer(body: bytes) -> bytes:
        request = decode(body)
        row.fill(0.0)
        encoder.encode_into(request.features, floats)
        return encode(Said(champion.score_bound(), challenger.score_bound()))

    return answer


if __name__ == "__main__":
    serve(make([Path(folder) for folder in os.environ["BENCH_ARTIFACTS"].split(os.pathsep)]))
