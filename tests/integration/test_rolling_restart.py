"""A rolling restart under load: behind a proxy that retries nothing, no request is lost, and every answer is logged."""

import asyncio
import itertools
import time

import httpx
import pytest
from entry_toys import Entry
from serving_toys import FEATURES, make_bento

from service.prediction_log.lines import decode_line

CLIENTS = 8


class Proxy:
    """Sends each request to one of the backends that were ready at the last look, over kept connections, once."""

    def __init__(self, backends):
        self.backends = backends
        self.ready = set(backends)
        self.clients = {b: httpx.AsyncClient(base_url=b.url, timeout=30, trust_env=False) for b in backends}
        self.probes = httpx.AsyncClient(timeout=2, trust_env=False)
        self.turn = itertools.count()

    async def watch(self):
        while True:
            for backend in self.backends:
                try:
                    answer = await self.probes.get(f"{backend.url}/readyz", headers={"connection": "close"})
                    is_ready = answer.status_code == 200
                except httpx.HTTPError:
                    is_ready = False
                (self.ready.add if is_ready else self.ready.discard)(backend)
            await asyncio.sleep(0.05)

    async def post(self, body):
        ready = sorted(self.ready, key=id)
        return await self.clients[ready[next(self.turn) % len(ready)]].post("/v1/score", json=body)

    async def close(self):
        for client in (*self.clients.values(), self.probes):
            await client.aclose()


async def load(proxy, found, lost, over):
    for number in itertools.count():
        if over.is_set():
            return
        try:
            answer = await proxy.post({"customer_id": f"c{number}", "features": FEATURES})
        except httpx.HTTPError as e:
            lost.append(repr(e))
            continue
        (found if answer.status_code == 200 else lost).append(answer.json())


async def restart_one_after_the_other(backends):
    for backend in backends:
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(backend.stop) == 0
        await asyncio.to_thread(backend.start)
        await asyncio.sleep(0.5)


async def scene(backends):
    proxy, found, lost, over = Proxy(backends), [], [], asyncio.Event()
    watching = asyncio.create_task(proxy.watch())
    clients = [asyncio.create_task(load(proxy, found, lost, over)) for _ in range(CLIENTS)]
    try:
        await restart_one_after_the_other(backends)
    finally:
        over.set()
        await asyncio.gather(*clients)
        watching.cancel()
        await proxy.close()
    return found, lost


@pytest.mark.timeout(200)
def test_no_request_is_lost_while_every_process_is_replaced(tmp_path):
    make_bento(tmp_path / "bento", [0.3])
    settings = {"drain_seconds": 1.0, "grace_seconds": 10}
    with (
        Entry(tmp_path / "bento", tmp_path / "one", **settings) as one,
        Entry(tmp_path / "bento", tmp_path / "two", **settings) as two,
    ):
        began = time.monotonic()
        found, lost = asyncio.run(scene([one, two]))
        took = time.monotonic() - began
        assert (one.stop(), two.stop()) == (0, 0)
    assert lost == []
    assert len(found) > 10 * took  # there was load all the time
    segments = [path for place in ("one", "two") for path in (tmp_path / place).glob("spool/*/*.jsonl")]
    logged = [decode_line(line).prediction_id for path in segments for line in path.read_bytes().splitlines()]
    assert sorted(logged) == sorted(answer["prediction_id"] for answer in found)
