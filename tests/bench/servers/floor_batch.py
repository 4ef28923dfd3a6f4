"""Server `floor-batch`: decode a batch, encode its rows, one call of each model, answer; JSON or NDJSON."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np

from bentos.artifact import Encoder, Value, floats_of, load_artifact
from tests.bench.servers.asgi import Answer, serve


class Row(msgspec.Struct, gc=False):
    """One customer."""

    customer_id: str
    features: dict[str, Value]


class Request(msgspec.Struct, gc=False):
    """What it reads."""

    rows: list[Row]


class Said(msgspec.Struct, gc=False):
    """What it answers for one customer."""

    champion: float
    challenger: float


def make(folders: list[Path], *, is_ndjson: bool) -> Answer:
    """The answer from the artifacts of champion and challenger."""
    artifacts = [load_artifact(folder) for folder in folders]
    encoder = Encoder(artifacts[0].contract)
    champion, challenger = (artifact.scorer() for artifact in artifacts)
    decode, decode_lines = msgspec.json.Decoder(Request).decode, msgspec.json.Decoder(Row).decode_lines
    answers = msgspec.json.Encoder()

    def score(rows: list[Row]) -> list[Said]:
        matrix = np.zeros((len(rows), encoder.width), dtype=np.float32)
        for values, row in zip(matrix, rows, strict=True):
            encoder.encode_into(row.features, floats_of(values))
        both = zip(champion.score(matrix).tolist(), challenger.score(matrix).tolist(), strict=True)
        return [Said(first, second) for first, second in both]

    if is_ndjson:
        return lambda body: answers.encode_lines(score(decode_lines(body)))
    return lambda body: answers.encode({"predictions": score(decode(body).rows)})


if __name__ == "__main__":
    folders = [Path(folder) for folder in os.environ["BENCH_ARTIFACTS"].split(os.pathsep)]
    serve(make(folders, is_ndjson=os.environ["BENCH_FORM"] == "ndjson"))
