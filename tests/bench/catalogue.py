"""The servers that are measured: how each is started, what it is asked, and where its answer says a probability."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bentos.artifact import Categorical
from tests.bench.installation import Customer, Installation
from tests.bench.machine import ROOT
from tests.bench.processes import free_port

FAST, SLOW = 32, 8
"""Connections at once. A server that answers 40 a second is not asked by 32: only its queue would be measured."""

_UV = ROOT / ".uv" / "bin" / "uv"
_BENTOML = ("OTEL_SDK_DISABLED", "BENTOML_DO_NOT_TRACK")


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        name: For `--only`.
        what: For people.
        command: Starts it on a port.
        environment: Beside `BENCH_PORT`.
        ready: The path that answers 200 once it serves.
        path: The path that scores.
        body: A customer as this server is asked.
        probability: Where its answer says the positive class's probability; None: it says none.
        connections: How many ask at once in the second measurement.
        packages: Of an environment of its own, as requirements; empty: the project's environment.
        headers: Of every request.
        spool: Where it writes the prediction log; None: it has none.
    """

    name: str
    what: str
    command: Callable[[int], Sequence[str]]
    path: str
    ready: str
    body: Callable[[Customer], Any]
    probability: Callable[[Any], float] | None
    environment: Mapping[str, str] = field(default_factory=dict)
    connections: int = FAST
    packages: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    spool: Path | None = None

    def bodies(self, customers: Sequence[Customer]) -> list[bytes]:
        """The customers as bodies."""
        return [json.dumps(self.body(customer)).encode() for customer in customers]


def catalogue(site: Installation) -> tuple[Server, ...]:
    """Every server that is known, in the order of the table."""
    return (_hello(), floor(site), gauntlet(site), _gauntlet_bentoml(site), *_with_sklearn(site))


def floor(site: Installation) -> Server:
    """The same two scores and nothing else."""
    folders = os.pathsep.join(str(artifact.folder) for artifact in site.artifacts)
    return Server(
        name="floor",
        what="bare ASGI, both scores, nothing else",
        command=_module("tests.bench.servers.floor"),
        path="/",
        ready="/",
        body=_scored,
        probability=lambda answer: float(answer["champion"]),
        environment={"BENCH_ARTIFACTS": folders},
    )


def gauntlet(site: Installation) -> Server:
    """`gauntlet serve`, with everything on."""
    folder = str(site.folder.path)
    spool = _spool(site, "gauntlet")
    return Server(
        name="gauntlet",
        what="Gauntlet, `gauntlet serve`, everything on",
        command=lambda port: (
            *_python("gauntlet"),
            "serve",
            "--only",
            "scoring",
            "--folder",
            folder,
            "--port",
            str(port),
            "--admin-port",
            "0",
        ),
        path="/v1/score",
        ready="/readyz",
        body=_scored,
        probability=lambda answer: float(answer["probability"]),
        environment=scoring_environment(site, spool),
        headers=scoring_headers(site),
        spool=spool,
    )


def _spool(site: Installation, name: str) -> Path:
    return site.scratch / "spool" / name


def _hello() -> Server:
    return Server(
        name="hello",
        what="bare ASGI, says hello",
        command=_module("tests.bench.servers.hello"),
        path="/",
        ready="/",
        body=_scored,
        probability=None,
    )


def _gauntlet_bentoml(site: Installation) -> Server:
    spool = _spool(site, "gauntlet-bentoml")
    environment = {
        **scoring_environment(site, spool),
        "GAUNTLET_FOLDER": str(site.folder.path),
        "BENTOML_HOME": str(site.folder.bentoml),
        **dict.fromkeys(_BENTOML, "true"),
    }
    return Server(
        name="gauntlet-bentoml",
        what="Gauntlet, `bentoml serve`, everything on",
        command=_bentoml(str(site.folder.bento.resolve())),
        path="/v1/score",
        ready="/readyz",
        body=_scored,
        probability=lambda answer: float(answer["probability"]),
        environment=environment,
        headers=scoring_headers(site),
        spool=spool,
    )


def _with_sklearn(site: Installation) -> tuple[Server, ...]:
    """The champion alone as usual projects serve it; no prediction log, no second model."""
    pipeline = {"BENCH_PIPELINE": str(site.pipeline)}
    sklearn = f"scikit-learn=={importlib.metadata.version('scikit-learn')}"  # another could not read the file
    mlflow = f"mlflow=={importlib.metadata.version('mlflow')}"
    return (
        Server(
            name="bento-sklearn",
            what="plain `@bentoml.api`, scikit-learn",
            command=_bentoml("tests.bench.servers.bento_plain:Plain"),
            path="/predict",
            ready="/readyz",
            body=_scored,
            probability=lambda answer: float(answer["probability"]),
            environment={**pipeline, "BENTOML_HOME": str(site.folder.bentoml), **dict.fromkeys(_BENTOML, "true")},
            connections=SLOW,
        ),
        Server(
            name="fastapi-sklearn",
            what="FastAPI, scikit-learn",
            command=_fastapi,
            path="/predict",
            ready="/ready",
            body=_scored,
            probability=lambda answer: float(answer["probability"]),
            environment=pipeline,
            connections=SLOW,
            packages=("fastapi", "uvicorn[standard]", "pandas", sklearn),
        ),
        Server(
            name="mlserver",
            what="MLServer, scikit-learn runtime, V2",
            command=_own_module("tests.bench.servers.mlserver_plain"),
            path="/v2/models/churn/infer",
            ready="/v2/models/churn/ready",
            body=lambda customer: _as_v2(site, customer),
            probability=lambda answer: float(answer["outputs"][0]["data"][1]),
            environment={
                **pipeline,
                "BENCH_GRPC_PORT": str(free_port()),
                "BENCH_METRICS_PORT": str(free_port()),
            },
            connections=SLOW,
            # Its worker dies with a later uvloop: "There is no current event loop in thread 'MainThread'".
            packages=("mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop<0.22", sklearn),
        ),
        Server(
            name="kserve",
            what="KServe's Python server, custom model, V1",
            command=_own_module("tests.bench.servers.kserve_plain"),
            path="/v1/models/churn:predict",
            ready="/v1/models/churn",
            body=lambda customer: {"instances": [customer.features]},
            probability=lambda answer: float(answer["predictions"][0][1]),
            environment=pipeline,
            connections=SLOW,
            packages=("kserve==0.21.0", "pandas", sklearn),
        ),
        Server(
            name="mlflow",
            what="MLflow, `mlflow models serve`",
            command=_own_module("tests.bench.servers.mlflow_plain"),
            path="/invocations",
            ready="/ping",
            body=lambda customer: {"dataframe_records": [customer.features]},
            probability=lambda answer: float(answer["predictions"][0][1]),
            environment=pipeline,
            connections=SLOW,
            packages=(mlflow, sklearn),
        ),
    )


def scoring_environment(site: Installation, spool: Path) -> dict[str, str]:
    """What both of Gauntlet's entries are told: everything on, and no limit that this load would meet."""
    return {
        "GAUNTLET_SPOOL_FOLDER": str(spool),
        "GAUNTLET_AUTHENTICATION": "on",
        "GAUNTLET_KEYS_FOLDER": str(site.keys),
        "GAUNTLET_RATE_PER_SECOND": "1000000",
        "GAUNTLET_ADMIN_PORT": "0",
    }


def scoring_headers(site: Installation, content_type: str = "application/json") -> dict[str, str]:
    """What every request to Gauntlet carries."""
    return {"content-type": content_type, "authorization": f"Bearer {site.key}"}


def isolated(packages: Sequence[str]) -> tuple[str, ...]:
    """The command that runs what follows it in an environment of these packages alone."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = [word for package in packages for word in ("--with", package)]
    return (str(_UV), "run", "--quiet", "--isolated", "--no-project", "--python", version, *wanted)


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module)


def _module(name: str) -> Callable[[int], Sequence[str]]:
    return lambda _port: _python(name)


def _own_module(name: str) -> Callable[[int], Sequence[str]]:
    """The module by the `python` of an environment of its own."""
    return lambda _port: ("python", "-m", name)


def _bentoml(what: str) -> Callable[[int], Sequence[str]]:
    return lambda port: (*_python("bentoml"), "serve", what, "--host", "127.0.0.1", "--port", str(port))


def _fastapi(port: int) -> Sequence[str]:
    arguments = ("--port", str(port), "--no-access-log", "--log-level", "warning")
    return ("python", "-m", "uvicorn", "tests.bench.servers.fastapi_plain:application", *arguments)


def _scored(customer: Customer) -> dict[str, Any]:
    return {"customer_id": customer.customer_id, "features": customer.features}


def _as_v2(site: Installation, customer: Customer) -> dict[str, Any]:
    """One tensor a column, which MLServer makes a DataFrame of."""
    inputs = [
        {
            "name": feature.name,
            "shape": [1, 1],
            "datatype": "BYTES" if isinstance(feature, Categorical) else "FP64",
            "data": [customer.features[feature.name]],
            "parameters": {"content_type": "str" if isinstance(feature, Categorical) else "np"},
        }
        for feature in site.contract.features
    ]
    return {"parameters": {"content_type": "pd"}, "inputs": inputs, "outputs": [{"name": "predict_proba"}]}
