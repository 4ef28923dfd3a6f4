"""The server under test: the fast entry as containers run it, over a Bento of toys or a folder's own."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bentos.folder import Folder
from service.http.keys import add_key
from service.prediction_log.lines import BadLine, decode_line
from tests.bench.fuzzing.seeds import Seed
from tests.bench.processes import ask, free_port, rss_mb, serving

_CRASHED = ("request_crashed", "poll_failed", "Traceback", "never retrieved", "Exception in ASGI")
"""What the log never says."""

PATIENCE_SECONDS = 2.0
"""Short, so that requests whose end never comes are over soon."""


@dataclass(frozen=True)
class Target:
    """A server that answers.

    Attributes:
        port: Of 127.0.0.1.
        pid: Of its one worker.
        spool: The folder of its prediction log.
        log: What it says.
        key: An API key that may do everything; None where none is asked for.
    """

    port: int
    pid: int
    spool: Path
    log: Path
    key: str | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def memory_mb(self) -> float:
        """Its resident memory."""
        return rss_mb(self.pid)

    def document(self) -> dict[str, Any]:
        """Its OpenAPI document."""
        found: dict[str, Any] = json.loads(ask(f"{self.url}/openapi.json")[1])
        return found

    def ask(self, seed: Seed) -> tuple[int, Any]:
        """Send a right request; gives status and answer, without what is new in every answer."""
        headers = {"content-type": seed.content_type, **{n.decode(): v.decode() for n, v in seed.headers}}
        if self.key is not None:
            headers["authorization"] = f"Bearer {self.key}"
        status, body = ask(self.url + seed.path, method="POST", body=seed.body, headers=headers)
        return status, _without_ids(body)


@contextmanager
def serve(scratch: Path, folder: Folder | None = None, *, has_keys: bool = True) -> Iterator[Target]:
    """Serve while the block runs, on one core.

    Args:
        scratch: For spool, keys and log; made anew.
        folder: Whose Bento and experiment are served; None for two toys, between which customers are split.
        has_keys: Whether clients must show an API key.

    Raises:
        CannotMeasure: The server does not start.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    port = free_port()
    environment = {
        "GAUNTLET_PORT": str(port),
        "GAUNTLET_ADMIN_PORT": str(free_port()),
        "GAUNTLET_SPOOL_FOLDER": str(scratch / "spool"),
        "GAUNTLET_COUNTERS_FOLDER": str(scratch / "counters"),
        "GAUNTLET_WORKER": "fuzzed",
        "GAUNTLET_PATIENCE_SECONDS": str(PATIENCE_SECONDS),
        **(_toys(scratch) if folder is None else _own(folder)),
    }
    key = None
    if has_keys:
        key = add_key(scratch / "keys", "admin", "fuzzer")
        environment["GAUNTLET_KEYS_FOLDER"] = str(scratch / "keys")
    command, log = [sys.executable, "-m", "service.entry"], scratch / "log"
    with serving(command, port=port, ready="/readyz", log=log, environment=environment) as running:
        yield Target(port, running.worker("service.entry"), scratch / "spool", log, key)


def aftermath(target: Target, before: Mapping[Seed, tuple[int, Any]]) -> list[str]:
    """What is wrong with a server that has been through it all; nothing where all is well.

    Args:
        target: The server.
        before: What right requests were answered at the start.
    """
    found = []
    try:
        status, said = ask(f"{target.url}/readyz")
    except (OSError, http.client.HTTPException) as e:
        return [f"the server does not answer any more: {e}"]
    if (status, said) != (200, b"ready\n"):
        found.append(f"/readyz answers {status} {said[:200]!r}")
    for seed, answered in before.items():
        if (now := target.ask(seed)) != answered:
            found.append(f"{seed.name} answers {str(now)[:300]}, and did {str(answered)[:300]}")
    return [*found, *_spool_faults(target.spool), *_crashes(target.log)]


def spooled(folder: Path) -> list[bytes]:
    """Every line of the prediction log."""
    return [line for path in sorted(folder.glob("*/*.jsonl")) for line in path.read_bytes().splitlines()]


def _spool_faults(folder: Path) -> Iterator[str]:
    for line in spooled(folder):
        try:
            decode_line(line)
        except BadLine as e:
            yield f"a record cannot be read ({e}): {line[:200]!r}"


def _crashes(log: Path) -> Iterator[str]:
    for line in log.read_text(errors="replace").splitlines():
        if any(word in line for word in _CRASHED):
            yield f"the log says: {line[:300]}"


def _toys(scratch: Path) -> dict[str, str]:
    from datetime import UTC, datetime, timedelta

    from service.scoring.experiment import first_experiment, set_split, start_shadow, write_experiment
    from tests.serving_toys import make_bento

    now, lead = datetime.now(UTC), timedelta(0)
    champion, challenger = make_bento(scratch / "bento", [0.3, 0.7])
    shadow = start_shadow(first_experiment(champion, now=now), challenger, now=now, salt="fuzz", lead=lead)
    write_experiment(scratch / "experiment.yaml", set_split(shadow, 0.5, now=now, lead=lead))
    return {
        "BENTOML_HOME": str(scratch / "bentoml"),
        "GAUNTLET_BENTO": str(scratch / "bento"),
        "GAUNTLET_EXPERIMENT_FILE": str(scratch / "experiment.yaml"),
    }


def _own(folder: Folder) -> dict[str, str]:
    return {
        "BENTOML_HOME": str(folder.bentoml),
        "GAUNTLET_BENTO": str(folder.bento),
        "GAUNTLET_EXPERIMENT_FILE": str(folder.experiment),
    }


def _without_ids(body: bytes) -> Any:
    try:
        return [_pruned(json.loads(line)) for line in body.splitlines()]
    except ValueError:
        return body


def _pruned(told: Any) -> Any:
    if isinstance(told, dict):
        fresh = "prediction_id" if told.get("name") != "prediction_id" else "data"
        return {name: _pruned(value) for name, value in told.items() if name != fresh}
    return [_pruned(one) for one in told] if isinstance(told, list) else told


def right_answers(target: Target, seeds: tuple[Seed, ...]) -> dict[Seed, tuple[int, Any]]:
    """What right requests are answered, of those that can be asked again."""
    return {seed: target.ask(seed) for seed in seeds}
