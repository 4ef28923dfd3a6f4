"""Where pages read from: the store, MLflow and scoring. Opened when first asked, and never written to by reading."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from bentos.artifact import Contract, Reference, parse_contract
from bentos.errors import ArtifactDamaged, GauntletError, NotFound, Refused, Unavailable
from bentos.folder import Folder
from bentos.registry import ARTIFACT_PATH, Registry, Version, registry_of
from service.console.service_client import ServiceClient
from service.console.settings import ConsoleSettings
from service.store import Store, open_store, tables

_FRESH_SECONDS = 5.0
"""For how long what the registry said of the champion is taken as it was."""

_AHEAD = 2
"""So many pages are asked for ahead at the same time; others wait for their turn, and meanwhile ask for themselves."""

T = TypeVar("T")


@dataclass(frozen=True)
class NextStep:
    """What an installation lacks, and the one command that gives it.

    Attributes:
        says: What is missing.
        command: To be typed.
    """

    says: str
    command: str


class _Kept(Generic[T]):
    """A value that is asked for again once it is no longer fresh.

    A failure is not kept, but whoever waited for the question meanwhile has its answer: it failed.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turn = threading.Lock()
        self._value: tuple[float, T] | None = None
        self._failure: tuple[float, GauntletError] | None = None

    def get(self, ask: Callable[[], T]) -> T:
        """The value; `ask` is asked where it is not fresh, never who came earlier: what that one knew may be over."""
        came = time.monotonic()
        with self._turn:
            if self._failure is not None and self._failure[0] > came:
                raise self._failure[1]
            if self._value is None or time.monotonic() - self._value[0] > self._seconds:
                try:
                    found = ask()
                except GauntletError as e:
                    self._failure = (time.monotonic(), e)
                    raise
                self._value = (time.monotonic(), found)  # fresh from when it was there, however long that took
            return self._value[1]

    @property
    def is_over(self) -> bool:
        """Whether nobody is asking, and whoever comes next would have to."""
        if self._turn.locked():
            return False
        return self._value is None or time.monotonic() - self._value[0] > self._seconds


def _keeping(ask: Callable[[], T], seconds: float) -> Callable[[], T]:
    """A question whose answer is kept."""
    kept: _Kept[T] = _Kept(seconds)
    return lambda: kept.get(ask)


class Sources:
    """What one console reads from. Safe for several threads; every method may raise a GauntletError.

    Attributes:
        settings: Of this process.
        folder: The installation's.
        service: Scoring's HTTP API.
    """

    def __init__(self, settings: ConsoleSettings, service: ServiceClient | None = None) -> None:
        """Open nothing yet.

        Args:
            settings: Of this process.
            service: Takes the place of scoring at `settings.service_url`.
        """
        self.settings = settings
        self.folder = Folder(settings.folder)
        self.service = service or ServiceClient(settings)
        self._open_registry: Callable[[], Registry] = _keeping(lambda: registry_of(self.folder), float("inf"))
        self._tracking: tuple[int, int] | None = None
        self.store: Callable[[], Store] = _keeping(self._open_store, float("inf"))
        self.model: Callable[[], str] = _keeping(self._find_model, _FRESH_SECONDS)
        self.champion: Callable[[], Version] = _keeping(self._find_champion, _FRESH_SECONDS)
        self._read: dict[tuple[str, str], bytes] = {}
        """Files of artifacts by run and path: an artifact never changes."""
        self._turn = threading.Lock()
        self._kept: dict[Hashable, _Kept[Any]] = {}
        self._ahead: ThreadPoolExecutor | None = None
        self._opening: ThreadPoolExecutor | None = None
        self._asking: dict[str, Future[None]] = {}

    def registry(self) -> Registry:
        """Runs, versions and roles.

        Raises:
            Unavailable: The folder's own tracking is another file than the one that MLflow has opened, or is gone.
        """
        registry = self._open_registry()
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            try:
                found = self.folder.tracking.stat()
            except OSError as e:
                raise Unavailable(f"{self.folder.tracking} cannot be read: {e.strerror or e}") from e
            self._tracking = self._tracking or (found.st_dev, found.st_ino)
            if self._tracking != (found.st_dev, found.st_ino):
                raise Unavailable(f"{self.folder.tracking} was replaced by another file: start the console again")
        return registry

    def kept(self, what: Hashable, ask: Callable[[], T], *, seconds: float = _FRESH_SECONDS) -> T:
        """What a page asks for again only once it is no longer fresh: several pictures are drawn from one answer.

        Args:
            what: Its name, in no other place of any page.
            ask: Asks for it; what else its answer depends on belongs into `what`.
            seconds: How long an answer is fresh.
        """
        with self._turn:
            if what not in self._kept:
                for over in [key for key, kept in self._kept.items() if kept.is_over]:
                    del self._kept[over]
            found: _Kept[T] = self._kept.setdefault(what, _Kept(seconds))
        return found.get(ask)

    def ask_ahead(self, page: str, questions: Callable[[], Sequence[Callable[[], object]]]) -> None:
        """Begin to ask what a page is about to ask and what is `kept`. What fails, the page asks again and says.

        Args:
            page: Its name; while this still goes on for it, nothing more is begun.
            questions: Gives the questions, which are asked in turn.
        """

        def ask() -> None:
            for question in questions():
                question()

        with self._turn:
            before = self._asking.get(page)
            if before is None or before.done():
                self._ahead = self._ahead or ThreadPoolExecutor(_AHEAD, "ahead")
                self._asking[page] = self._ahead.submit(ask)

    def in_time(self, make: Callable[[], T], seconds: float) -> T | None:
        """What is made within so many seconds; None where it takes longer or fails, and whoever asks again is told why.

        It goes on meanwhile, so that who asks again waits less.
        """
        with self._turn:
            self._opening = self._opening or ThreadPoolExecutor(self.settings.threads, "opening")
        made = self._opening.submit(make)
        try:
            return made.result(seconds)
        except Exception:  # whoever asks again has it again, and there it is said
            made.cancel()
            return None

    def warm(self) -> None:
        """Read what every page needs, so that the first one does not wait for MLflow to be imported."""
        with contextlib.suppress(GauntletError):  # the page will say it
            if self._has_tracking():
                self.contract()
                self.reference()

    def contract(self) -> Contract:
        """The champion's contract: every label, range and band on a page comes from it."""
        return parse_contract(self.file_of(self.champion(), f"{ARTIFACT_PATH}/contract.json"))

    def reference(self) -> Reference:
        """How the champion's features and scores were distributed in training."""
        content = self.file_of(self.champion(), f"{ARTIFACT_PATH}/reference.json")
        try:
            return msgspec.json.decode(content, type=Reference)
        except msgspec.MsgspecError as e:
            raise ArtifactDamaged(f"reference.json of {self.champion()} cannot be read: {e}") from e

    def file_of(self, version: Version, path: str) -> bytes:
        """A file of the run that made a version.

        Raises:
            NotFound: The run has no such file.
            Unavailable: The tracking server does not answer.
        """
        key = (version.run, path)
        if key not in self._read:
            self._read[key] = self.fetch(version, path)
        return self._read[key]

    def fetch(self, version: Version, path: str) -> bytes:
        """As `file_of`, asked for anew."""
        with tempfile.TemporaryDirectory(prefix="gauntlet-console-") as beside:
            return self.registry().fetch_file(version, path, Path(beside)).read_bytes()

    def next_step(self, *, needs_predictions: bool, needs_champion: bool = True) -> NextStep | None:
        """What to do first; None where there is something to look at."""
        at = f"--folder {self.folder.path}"
        if not self._has_tracking() and (lost := [it for it in (self.folder.bento, self.folder.store) if it.exists()]):
            raise Unavailable(
                f"{self.folder.tracking}, where runs and roles are kept, is missing, though {lost[0]} is there: bring "
                "it back from a backup, or name the tracking server with MLFLOW_TRACKING_URI"
            )
        registry = self.registry() if self._has_tracking() else None
        if registry is None or not registry.names():
            return NextStep(
                "No model was trained here yet. This trains one on made-up customers and registers it; on your own, "
                "with --data FILE.",
                f"gauntlet train {at}",
            )
        if not needs_champion:
            return None
        name = self.model()
        if registry.find(f"models:/{name}@champion") is None:
            return NextStep(
                f"{name} has no champion yet. This judges its newest candidate; a pass can be made the first champion.",
                f"gauntlet gate models:/{name}@candidate {at}",
            )
        if needs_predictions and not self.has_predictions():
            return NextStep(
                "Nobody was scored yet. This serves the champion; the console shows what it answers.",
                f"gauntlet serve {at}",
            )
        return None

    def has_predictions(self) -> bool:
        """Whether the store holds any."""
        try:
            store = self.store()
        except NotFound:
            return False
        with store.reading() as connection:
            return connection.execute(sa.select(tables.predictions.c.at).limit(1)).first() is not None

    def _has_tracking(self) -> bool:
        """Whether there is an MLflow to ask: asking the folder's own would make one."""
        return bool(os.environ.get("MLFLOW_TRACKING_URI")) or self.folder.tracking.is_file()

    def _open_store(self) -> Store:
        """The store, which the console neither makes nor migrates."""
        url = os.environ.get("GAUNTLET_STORE_URL")
        if url is None and not self.folder.store.is_file():
            raise NotFound(f"there is no store in {self.folder.path} yet; `gauntlet serve` makes one")
        return open_store(
            url or self.folder.store_url, migrate=False, answer_seconds=self.settings.store_timeout_seconds
        )

    def _find_model(self) -> str:
        if self.settings.model is not None:
            return self.settings.model
        names = self.registry().names()
        if len(names) != 1:
            listed = ", ".join(names) or "none"
            raise NotFound(f"the registry holds {listed}; GAUNTLET_CONSOLE_MODEL must name the one that is shown")
        return names[0]

    def _find_champion(self) -> Version:
        found = self.registry().find(f"models:/{self.model()}@champion")
        if found is None:
            raise Refused(f"{self.model()} has no champion")
        return found
