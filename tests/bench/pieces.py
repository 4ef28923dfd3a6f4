"""Pieces of a request done in two ways, in one process and without HTTP; `alternatives` starts this.

Two sessions of onnxruntime, one a model, beside one session whose graph holds both; and the answer encoded by msgspec
beside one put together from bytes that were made before. Prints one line of JSON: microseconds a request by piece, for
each number of requests that arrive together.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import compose, helper

from bentos.artifact import Artifact, Encoder, floats_of, load_artifact
from bentos.artifact.scorer import INPUT, OUTPUT
from service.scoring.deciding import Answer
from service.scoring.models import Identity
from tests.bench.installation import BODY_END

TOGETHER = (1, 8, 32)
_ROUNDS = 15

Score = Callable[[], object]


def merge(champion: bytes, challenger: bytes) -> bytes:
    """One graph that reads a row once and gives both models' probabilities."""
    models = [
        compose.add_prefix(onnx.load_from_string(model), f"{name}/", rename_inputs=False)
        for name, model in (("champion", champion), ("challenger", challenger))
    ]
    graphs = [model.graph for model in models]
    outputs = [output for graph in graphs for output in graph.output if output.name.endswith(f"/{OUTPUT}")]
    graph = helper.make_graph(
        [node for graph in graphs for node in graph.node],
        "both",
        [graphs[0].input[0]],
        outputs,
        [tensor for graph in graphs for tensor in graph.initializer],
    )
    opsets = {opset.domain: opset.version for model in models for opset in model.opset_import}
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    merged = helper.make_model(graph, opset_imports=imports, ir_version=min(model.ir_version for model in models))
    return bytes(merged.SerializeToString())


def bind(model: bytes, rows: NDArray[np.float32], n: int) -> tuple[Score, list[NDArray[np.float32]]]:
    """A call of a graph that is bound to the first rows, and the probabilities that it writes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_ortvalue_input(INPUT, onnxruntime.OrtValue.ortvalue_from_numpy(rows[:n]))
    names = [output.name for output in session.get_outputs() if output.name.endswith(OUTPUT)]
    found = [np.zeros((n, 2), dtype=np.float32) for _ in names]
    for name, values in zip(names, found, strict=True):
        binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(values))
    return lambda: (session.run_with_iobinding(binding), [values[:, 1].tolist() for values in found]), found


def time_scores(artifacts: list[Artifact], encoded: NDArray[np.float32], n: int) -> tuple[float, float]:
    """Microseconds a row of two sessions and of one, as medians of rounds that take turns."""
    rows = np.zeros((n, encoded.shape[1]), dtype=np.float32)
    graphs = [(artifact.folder / "model.onnx").read_bytes() for artifact in artifacts]
    (first, a), (second, b), (both, c) = (bind(model, rows, n) for model in (*graphs, merge(*graphs)))

    def apart() -> None:
        first()
        second()

    rows[:] = encoded[:n]
    apart()
    both()
    if not all((one == other).all() for one, other in zip([*a, *b], c, strict=True)):
        raise SystemExit("one graph and two say different things")
    times: dict[Score, list[float]] = {apart: [], both: []}
    for _ in range(_ROUNDS):
        for score, rounds in times.items():
            spent = 0.0
            for start in range(0, len(encoded) - n + 1, n):
                rows[:] = encoded[start : start + n]
                began = time.perf_counter()
                score()
                spent += time.perf_counter() - began
            rounds.append(spent / (len(encoded) // n * n))
    return 1e6 * median(times[apart]), 1e6 * median(times[both])


def time_answers() -> tuple[float, float]:
    """Microseconds an answer: by msgspec, and from bytes of which all but id and probability were made before."""
    identity = Identity(name="churn", version="1", digest="sha256:" + "0" * 64)
    answer = Answer(
        prediction_id="019ab5d2-7cf1-7a3e-9b0f-1c2d3e4f5a6b",
        variant="champion",
        model=identity,
        probability=0.3791234,
        label="No",
        risk="medium",
        no_treatment=False,
    )
    encode = msgspec.json.Encoder().encode
    whole = encode(answer)
    before, _, rest = whole.partition(answer.prediction_id.encode())
    middle, _, end = rest.partition(encode(answer.probability))

    def put_together() -> bytes:
        number = encode(answer.probability)  # the shortest digits that say this double: what must not differ
        return b"".join((before, answer.prediction_id.encode(), middle, number, end))

    if put_together() != whole:
        raise SystemExit("both ways give different bytes")
    return _micros(lambda: encode(answer)), _micros(put_together)


def main() -> None:
    """Time everything, and print."""
    artifacts = [load_artifact(Path(folder)) for folder in os.environ["BENCH_ARTIFACTS"].split(os.pathsep)]
    encoder = Encoder(artifacts[0].contract)
    bodies = Path(os.environ["BENCH_BODIES"]).read_bytes().split(BODY_END)[:-1]
    encoded = np.zeros((len(bodies), encoder.width), dtype=np.float32)
    for i, body in enumerate(bodies):
        encoder.encode_into(json.loads(body)["features"], floats_of(encoded[i : i + 1]))
    gc.collect()
    gc.freeze()
    scores = [time_scores(artifacts, encoded, n) for n in TOGETHER]
    by_msgspec, from_bytes = time_answers()
    found = {
        "rows": TOGETHER,
        "both models, two sessions": [apart for apart, _ in scores],
        "both models in one graph": [both for _, both in scores],
        "answer by msgspec": [by_msgspec] * len(TOGETHER),
        "answer from bytes made before": [from_bytes] * len(TOGETHER),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _micros(act: Callable[[], object], times: int = 20_000) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            act()
        rounds.append((time.perf_counter() - began) / times)
    return 1e6 * median(rounds)


if __name__ == "__main__":
    main()
