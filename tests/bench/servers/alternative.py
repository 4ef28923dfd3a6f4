"""The fast entry with one thing done otherwise: `python -m tests.bench.servers.alternative NAME`, on `BENCH_PORT`.

Everything else stays: the same Bento, experiment, keys, spool and counts. See `tests/bench/alternatives.py`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bentos.folder import Folder
from service.entry import Front, prepare, run
from service.settings import Settings, read_settings


def make_front() -> Front:
    """Our ASGI application, for a server that is not ours."""
    from service.application import Application

    return Front(Application(_settings()))


def _settings() -> Settings:
    folder = Folder(Path(os.environ["GAUNTLET_FOLDER"]))
    os.environ.setdefault("BENTOML_HOME", str(folder.bentoml))
    return read_settings(folder=folder.path, bento=folder.bento, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]))


def _plain_uvicorn() -> None:
    """A task, ASGI messages and two writes for each request: uvicorn as it comes."""
    import uvicorn

    uvicorn.run(
        make_front(),
        port=int(os.environ["BENCH_PORT"]),
        loop="uvloop",
        http="httptools",
        ws="none",
        interface="asgi3",
        proxy_headers=False,
        access_log=False,
        log_level="error",
        server_header=False,
        timeout_keep_alive=75,
    )


def _granian() -> None:
    """The same application behind a server in Rust, with one worker and one thread of its own."""
    from granian import Granian  # in an environment of this server's own

    Granian(
        "tests.bench.servers.alternative:make_front",
        factory=True,
        address="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        interface="asgi",
        loop="uvloop",
        http="1",
        workers=1,
        runtime_threads=1,
        websockets=False,
        log_enabled=False,
    ).serve()


def _unfrozen() -> None:
    """Every collection looks at the models' tables again."""
    gc.freeze = lambda: None
    run(_settings())


def _a_write_each() -> None:
    """Records are written to the spool one by one, as if nothing had been scored together."""
    from service.prediction_log.spool import Spool

    together = Spool.append_all

    def one_by_one(spool: Spool, records: Sequence[Any]) -> list[bool]:
        return [is_written for record in records for is_written in together(spool, [record])]

    Spool.append_all = one_by_one
    run(_settings())


def _a_row_each() -> None:
    """Every request is scored at once and alone."""
    from service.scoring.batching import Batch

    add = Batch.add

    def alone(batch: Batch, *arguments: Any) -> None:
        add(batch, *arguments)
        batch.flush()

    Batch.add = alone
    run(_settings())


ALTERNATIVES: Mapping[str, Callable[[], None]] = {
    "uvicorn": _plain_uvicorn,
    "granian": _granian,
    "unfrozen": _unfrozen,
    "a-write-each": _a_write_each,
    "a-row-each": _a_row_each,
}


if __name__ == "__main__":
    prepare()
    ALTERNATIVES[sys.argv[1]]()
