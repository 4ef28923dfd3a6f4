"""Settings of the scoring process, from environment variables that begin with `GAUNTLET_`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.errors import InvalidSetting
from bentos.folder import Folder


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path, because `bentoml serve` changes the working directory")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """What one scoring process is told. Every field is `GAUNTLET_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="GAUNTLET_", frozen=True, extra="forbid")

    folder: AbsolutePath | None = None
    """The installation's folder, from which `experiment_file` and `spool_folder` follow where they are not named.
    None in containers, where each is a volume of its own."""

    bento: AbsolutePath | None = None
    """The Bento's folder. None: the one that this code lies in, which is right wherever a Bento runs its own code."""

    experiment_file: AbsolutePath | None = None
    """The experiment file, reread while serving. None and no `folder`: the Bento's own champion, nobody enrolled."""

    spool_folder: AbsolutePath | None = None
    """Where the prediction log is written. None and no `folder`: `gauntlet-spool` in BENTOML_HOME, which is the one
    place that is writable wherever BentoML runs."""

    worker: str = Field(default_factory=socket.gethostname, min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    """The name of this process's spool: the same after a restart, so that it goes on with what it left. The host's
    name, which on Kubernetes is the pod's."""

    judge_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where the judge answers, such as http://127.0.0.1:3002. None: `/v1/experiment` says what scoring itself knows."""

    judge_timeout_seconds: float = Field(default=1.0, gt=0, le=30)
    """How long `/v1/experiment` waits for the judge before it answers without it."""

    watch_interval_seconds: float = Field(default=0.25, gt=0, le=2)
    """How often the experiment file is looked at (one `stat`). Changes are promised to be seen within 2 s."""

    body_limit_bytes: int = Field(default=1024 * 1024, ge=1024)
    """The largest request body that is read. One row is a few hundred bytes; outcomes come by the thousand."""

    host: str = "127.0.0.1"
    """The address that the fast entry listens on. Loopback unless told otherwise; 0.0.0.0 in a container."""

    port: int = Field(default=3000, ge=0, le=65535)
    """The port that the fast entry listens on; 3000 is BentoML's too."""

    keep_alive_seconds: int = Field(default=75, ge=1)
    """How long an idle connection stays open: longer than a proxy's 60 s, or the proxy meets closed ones."""

    grace_seconds: int = Field(default=20, ge=1)
    """How long a stop waits for requests that are being answered."""

    @property
    def experiment_path(self) -> Path | None:
        """The experiment file; None for built-in roles."""
        return self.experiment_file or (Folder(self.folder).experiment if self.folder else None)

    @property
    def spool_path(self) -> Path:
        """The folder of spools."""
        if self.spool_folder:
            return self.spool_folder
        return Folder(self.folder).spool if self.folder else bentoml_home() / "gauntlet-spool"


def bentoml_home() -> Path:
    """BentoML's own home, as BentoML finds it."""
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")


def read_settings(**given: Any) -> Settings:
    """The settings of this process: what is given here, then the environment, then defaults.

    Raises:
        InvalidSetting: With every variable that is not allowed.
    """
    try:
        return Settings(**given)
    except ValidationError as e:
        problems = "; ".join(f"GAUNTLET_{_name(error['loc'])}: {error['msg']}" for error in e.errors())
        raise InvalidSetting(problems) from e


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location).upper()
