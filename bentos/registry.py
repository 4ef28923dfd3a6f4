"""The model registry and tracking server, which is MLflow: an adapter that gives versions of artifacts by name.

A registered version points at the run folder `artifact/`; its digest, verdict and place in history are tags. Without a
tracking server everything lies in the installation's folder: one SQLite file and one folder of artifacts.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.artifact import BLESSING, MANIFEST, Artifact, load_artifact
from bentos.errors import ArtifactDamaged, BadInput, NotFound, Unavailable, shown
from bentos.folder import Folder
from bentos.tracked import PAGE_SIZE, TrackedRun, every, run_of
from bentos.tracking_uri import tracking_uri_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.tracking import MlflowClient

ARTIFACT_PATH = "artifact"
DIGEST_TAG = "digest"
STATUS_TAG = "status"
"""`archived` on a version that lost its role."""


_HINTS = {
    "champion": "; `gauntlet promote --bootstrap` makes the first champion of a model that passed `gauntlet gate`",
    "challenger": "; a model becomes challenger by passing `gauntlet gate`",
}


@dataclass(frozen=True)
class Version:
    """A registered model: the identity that metrics, records and people name.

    Attributes:
        name: Registered name, from the contract.
        number: Version number, as text.
        digest: Artifact digest.
        run: The MLflow run that made it.
        aliases: Of `candidate`, `challenger`, `champion` those that point at it.
        tags: What is said of it.
        made_ms: When it was registered, milliseconds since 1970 UTC; 0 where nobody says.
    """

    name: str
    number: str
    digest: str
    run: str
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    made_ms: int = 0

    @property
    def uri(self) -> str:
        """How MLflow names it for good."""
        return f"models:/{self.name}/{self.number}"

    def __str__(self) -> str:
        return f"{self.name} version {self.number}"


def open_registry(folder: Folder, tracking_uri: str | None = None) -> Registry:
    """Open the registry of an installation.

    Args:
        folder: Where everything lies if no tracking server is named; made if needed.
        tracking_uri: A tracking server, as `MLFLOW_TRACKING_URI` names it.

    Raises:
        Unavailable: The tracking server does not answer.
    """
    _quieten()
    if not tracking_uri:
        folder.path.mkdir(parents=True, exist_ok=True)
    uri = tracking_uri or f"sqlite:///{folder.tracking.resolve()}"
    root = None if tracking_uri else folder.tracked_files.resolve().as_uri()
    registry = Registry(uri, artifact_root=root)
    registry.check()
    return registry


def registry_of(folder: Folder) -> Registry:
    """The registry that `MLFLOW_TRACKING_URI` names; without it the folder's own.

    Raises:
        InvalidSetting: It names nothing that can be a tracking server.
        Unavailable: The tracking server does not answer.
    """
    return open_registry(folder, tracking_uri_of(os.environ))


class Registry:
    """Artifacts by name, alias and version.

    Attributes:
        tracking_uri: Where MLflow is.
        client: MLflow's own client, for training to track runs with.
    """

    def __init__(self, tracking_uri: str, *, artifact_root: str | None = None) -> None:
        from mlflow.tracking import MlflowClient

        self.tracking_uri = tracking_uri
        self._artifact_root = artifact_root
        with self._translated():
            self.client: MlflowClient = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)

    def check(self) -> None:
        """Ask the tracking server for something small.

        Raises:
            Unavailable: It does not answer.
        """
        with self._translated():
            self.client.search_experiments(max_results=1)

    def experiment(self, name: str) -> str:
        """The id of the MLflow experiment of that name, made if needed."""
        with self._translated():
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            return str(self.client.create_experiment(name, artifact_location=self._artifact_root))

    def register(self, name: str, *, run: str, digest: str, tags: dict[str, str] | None = None) -> Version:
        """Register the artifact that was logged to a run under `artifact/`."""
        from mlflow.exceptions import MlflowException

        with self._translated():
            try:
                self.client.get_registered_model(name)
            except MlflowException as e:
                if e.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                self.client.create_registered_model(name)
            made = self.client.create_model_version(
                name, source=f"runs:/{run}/{ARTIFACT_PATH}", run_id=run, tags={**(tags or {}), DIGEST_TAG: digest}
            )
            return self._version(self.client.get_model_version(name, made.version))

    def resolve(self, uri: str) -> Version:
        """Find a version by `models:/NAME@ALIAS`, `models:/NAME/NUMBER` or `models:/NAME/latest`.

        Raises:
            BadInput: The address has another form.
            NotFound: There is no such model, alias or version; the message says what there is.
        """
        name, find = self._reader_of(uri)
        with self._translated():
            found = _or_none(find)
        if found is None:
            hint = _HINTS.get(uri.rpartition("@")[2], "")
            raise NotFound(f"{uri} is not in the registry; {self._what_there_is(name)}{hint}")
        return self._version(found)

    def find(self, uri: str) -> Version | None:
        """As `resolve`, with None where there is none."""
        try:
            return self.resolve(uri)
        except NotFound:
            return None

    def find_by_digest(self, name: str, digest: str) -> Version | None:
        """The newest version whose artifact has this digest."""
        return next((version for version in self.versions(name) if version.digest == digest), None)

    def names(self) -> list[str]:
        """Every registered model."""
        with self._translated():
            return sorted(str(model.name) for model in self.client.search_registered_models(max_results=100))

    def versions(self, name: str) -> list[Version]:
        """Every version of a model, the newest first."""
        with self._translated():
            newest_first = sorted(self._search(name), key=lambda version: -int(version.version))
            # A search leaves aliases out; the model has them all.
            aliases = self.client.get_registered_model(name).aliases if newest_first else {}
        return [
            replace(self._version(version), aliases=_pointing_at(str(version.version), aliases))
            for version in newest_first
        ]

    def runs(self, experiment: str, *, since_ms: int = 0) -> list[TrackedRun]:
        """Every run of an MLflow experiment that was not deleted, the newest first; none where there is none.

        Args:
            experiment: Its name.
            since_ms: Those that began before are left out; milliseconds since 1970 UTC.
        """
        with self._translated():
            known = self.client.get_experiment_by_name(experiment)
            if known is None:
                return []
            found = every(
                lambda token: self.client.search_runs(
                    [known.experiment_id],
                    filter_string=f"attributes.start_time >= {since_ms}",
                    order_by=["attributes.start_time DESC"],
                    max_results=PAGE_SIZE,
                    page_token=token,
                )
            )
            return [run_of(run) for run in found]

    def files(self, version: Version, under: str) -> list[str]:
        """The files of the run that made a version in one of its folders, such as `gate`; none where there is none."""
        with self._translated():
            return sorted(found.path for found in self.client.list_artifacts(version.run, under) if not found.is_dir)

    def fetch(self, version: Version, folder: Path) -> Artifact:
        """Copy a version's artifact into a folder that must not exist, verify it, and open it.

        Raises:
            ArtifactDamaged: It is not what its manifest says, or not the artifact that was registered.
            NotFound: The tracking server no longer has it.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as beside, self._translated():
            try:
                fetched = download_artifacts(
                    artifact_uri=f"runs:/{version.run}/{ARTIFACT_PATH}", dst_path=beside, tracking_uri=self.tracking_uri
                )
            except (OSError, MlflowException) as e:
                if isinstance(e, MlflowException) and not self._lacks(version, f"{ARTIFACT_PATH}/{MANIFEST}"):
                    raise
                raise NotFound(f"the artifact of {version} is not at the tracking server any more: {e}") from e
            artifact = load_artifact(Path(fetched))
            if version.digest and artifact.digest != version.digest:
                raise ArtifactDamaged(
                    f"{version} was registered as {version.digest}, and its files are {artifact.digest}"
                )
            shutil.move(fetched, folder)
        return load_artifact(folder)

    def fetch_file(self, version: Version, path: str, folder: Path) -> Path:
        """Copy one file of the run that made a version, such as `data/holdout.parquet`, into a folder.

        Returns:
            Where it lies now.

        Raises:
            NotFound: The run has no such file.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        folder.mkdir(parents=True, exist_ok=True)
        with self._translated():
            try:
                fetched = download_artifacts(
                    artifact_uri=f"runs:/{version.run}/{path}", dst_path=str(folder), tracking_uri=self.tracking_uri
                )
            except (OSError, MlflowException) as e:
                if self._lacks(version, path):
                    raise NotFound(f"the run of {version} has no {path}") from e
                raise
        return Path(fetched)

    def _lacks(self, version: Version, path: str) -> bool:
        """Whether the run answers and does not list a file; what MLflow raises for one differs by its store."""
        folder = path.rpartition("/")[0]
        return path not in [found.path for found in self.client.list_artifacts(version.run, folder or None)]

    def attach(self, version: Version, path: Path, *, under: str = "gate") -> None:
        """Keep a file (a report) with the run of a version."""
        with self._translated():
            self.client.log_artifact(version.run, str(path), under)

    def bless(self, version: Version, blessing: Path) -> None:
        """Put `blessing.json` beside the registered artifact, so that whoever fetches it has it."""
        if blessing.name != BLESSING:
            raise BadInput(f"a blessing is kept as {BLESSING}, not {blessing.name}")
        self.attach(version, blessing, under=ARTIFACT_PATH)

    def set_alias(self, version: Version, alias: str) -> None:
        """Let an alias point at a version, and at no other."""
        with self._translated():
            self.client.set_registered_model_alias(version.name, alias, version.number)

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias point at nothing; no error if it did already."""
        with self._translated():
            self.client.delete_registered_model_alias(name, alias)

    def tag(self, version: Version, **tags: str) -> None:
        """Say something of a version."""
        with self._translated():
            for key, value in tags.items():
                self.client.set_model_version_tag(version.name, version.number, key, value)

    def _reader_of(self, uri: str) -> tuple[str, Callable[[], MlflowVersion | None]]:
        body = uri.removeprefix("models:/")
        name, at, alias = body.partition("@")
        if uri.startswith("models:/") and at and name and alias and "/" not in body:
            return name, lambda: self.client.get_model_version_by_alias(name, alias)
        name, slash, number = body.partition("/")
        if uri.startswith("models:/") and slash and name and number == "latest":
            return name, lambda: self._latest(name)
        if uri.startswith("models:/") and slash and name and number.isdigit():
            return name, lambda: self.client.get_model_version(name, number)
        raise BadInput(
            f"{shown(uri)} names no model; write models:/NAME@ALIAS, models:/NAME/NUMBER or models:/NAME/latest"
        )

    def _latest(self, name: str) -> MlflowVersion | None:
        newest = max(self._search(name), key=lambda version: int(version.version), default=None)
        return newest and self.client.get_model_version(name, newest.version)

    def _search(self, name: str) -> Iterator[MlflowVersion]:
        """Every version, without its aliases."""
        wanted = f"name='{name}'"
        return every(lambda token: self.client.search_model_versions(wanted, max_results=PAGE_SIZE, page_token=token))

    def _version(self, found: MlflowVersion) -> Version:
        tags = dict(found.tags)
        return Version(
            name=found.name,
            number=str(found.version),
            digest=tags.get(DIGEST_TAG, ""),
            run=found.run_id or "",
            aliases=tuple(sorted(found.aliases)),
            tags=tags,
            made_ms=found.creation_timestamp or 0,
        )

    def _what_there_is(self, name: str) -> str:
        versions = self.versions(name)
        if not versions:
            names = self.names()
            return f"it holds {', '.join(names)}" if names else "it is empty: run `gauntlet train` first"
        listed = [f"{v.number}{'@' + ','.join(v.aliases) if v.aliases else ''}" for v in versions[:20]]
        return f"{name} has the versions {', '.join(listed)}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Give MLflow's failures the form of this project's errors."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except MlflowException as e:
            if e.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                raise BadInput(f"the model registry refused: {_first_line(e)}") from e
            raise Unavailable(f"the tracking server {self.tracking_uri} does not answer: {_first_line(e)}") from e
        except (SQLAlchemyError, ConnectionError) as e:
            raise Unavailable(f"the tracking server {self.tracking_uri} does not answer: {_first_line(e)}") from e


def _pointing_at(number: str, aliases: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(alias for alias, of in aliases.items() if str(of) == number))


def _or_none(find: Callable[[], MlflowVersion | None]) -> MlflowVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        return find()
    except MlflowException as e:
        if e.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _first_line(error: Any) -> str:
    text = str(error).strip()
    refused = re.search(r"\[Errno \d+\] [\w ]+", text)  # the last link of a chain that quotes itself three times
    if refused:
        return refused.group()
    return textwrap.shorten(text.splitlines()[0], 200, placeholder=" ...") if text else type(error).__name__


def _quieten() -> None:
    """Keep MLflow's own chatter and phoning home away from people who run one command."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # over 60 s for a dead server otherwise
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.store.model_registry.abstract_store", "mlflow.tracking"):
        logging.getLogger(name).setLevel(logging.WARNING)
