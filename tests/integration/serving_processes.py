"""Real serving processes of toys: an installation, and what tests ask and do of its processes."""

import threading
import time
from collections import Counter
from pathlib import Path

import httpx
from serving_toys import FEATURES, make_bento

from bentos.folder import Folder


def installation(path, probabilities=(0.3, 0.7)):
    """A folder with a Bento of toys."""
    folder = Folder(path)
    digests = make_bento(path / "packed", probabilities)
    folder.bento.symlink_to(path / "packed")
    return folder, digests


def wait_for(condition, seconds=20):
    """Wait until something is true; only its never becoming true is a failure."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


def score(client, customer):
    response = client.post("/v1/score", json={"customer_id": customer, "features": FEATURES})
    assert response.status_code == 200, response.text
    return response.json()


def until_answered(url):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            with httpx.Client(base_url=url, timeout=30) as client:
                return score(client, "b")["prediction_id"]
        except httpx.HTTPError:  # the connection that the killed process held
            time.sleep(0.02)
    raise AssertionError("scoring never answered again")


def pids_of(folder, *, name="service.child"):
    """Processes that were started for this folder's scoring, by their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        asked = b"service.entry" in command and name.encode() in command
        if asked and f"GAUNTLET_FOLDER={folder.path.resolve()}".encode() in environment:
            found.append(int(process.name))
    return sorted(found)


def is_alive(pid):
    """Whether a process runs; one that ended and that nobody waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def spooled(folder):
    """Every record in the spools, as bytes of lines."""
    return [line for path in folder.spool.glob("*/*.jsonl") for line in path.read_bytes().splitlines()]


class Load:
    """Clients that ask one after the other, each on a connection that it keeps while it can."""

    def __init__(self, url, clients=6):
        self.answered = []
        self.failures = Counter()
        self.asked = 0
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(url, f"c{n}")) for n in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, url, customer):
        with httpx.Client(base_url=url, timeout=10) as client:
            while not self._over.is_set():
                with self._turn:
                    self.asked += 1
                try:
                    response = client.post("/v1/score", json={"customer_id": customer, "features": FEATURES})
                except httpx.HTTPError as e:
                    self.failures[type(e).__name__] += 1
                else:
                    assert response.status_code == 200
                    self.answered.append(response.json()["prediction_id"])
