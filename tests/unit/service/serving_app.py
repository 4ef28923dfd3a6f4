"""A scoring application of toys, in this process, with a client that speaks ASGI to it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
from serving_toys import NOW_MICROS, make_bento

from service.application import Application
from service.prediction_log.records import Record
from service.scoring.experiment import Experiment, write_experiment
from service.settings import read_settings


class Served:
    """An application, a client for it and what it wrote."""

    def __init__(self, folder: Path, application: Application, digests: list[str]) -> None:
        self.folder = folder
        self.application = application
        self.digests = digests
        self.loop = asyncio.new_event_loop()

    def request(self, method: str, path: str, **options) -> httpx.Response:
        return self.loop.run_until_complete(self._request(method, path, **options))

    def post(self, path: str, body) -> httpx.Response:
        return self.request("POST", path, json=body)

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def metrics(self) -> str:
        """What the admin port exports."""
        return self.loop.run_until_complete(self._request("GET", "/metrics", application=self.application.admin)).text

    def records(self) -> list[Record]:
        decode = msgspec.json.Decoder(Record).decode
        files = sorted(self.folder.glob("spool/*/*.jsonl"))
        return [decode(line) for file in files for line in file.read_bytes().splitlines()]

    async def _request(self, method: str, path: str, application=None, **options) -> httpx.Response:
        transport = httpx.ASGITransport(application or self.application.http)
        async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
            return await client.request(method, path, **options)


@contextmanager
def served(folder: Path, *, mode: str = "off", split: float = 0.0, probabilities=(0.3, 0.7), **settings):
    digests = make_bento(folder / "bento", probabilities)
    experiment = Experiment(
        revision=1,
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        mode=mode,
        champion=digests[0],
        challenger=digests[1] if len(digests) > 1 else None,
        split=split,
        salt="salt",
    )
    write_experiment(folder / "experiment.yaml", experiment)
    application = Application(
        read_settings(folder=folder, bento=folder / "bento", worker="toy", **settings),
        clock=lambda: NOW_MICROS,
        randomness=bytes,
    )
    found = Served(folder, application, digests)
    try:
        yield found
    finally:
        found.loop.run_until_complete(application.stop())
        found.loop.close()
