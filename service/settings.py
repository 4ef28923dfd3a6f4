"""Settings of the scoring process, from environment variables that begin with `GAUNTLET_`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.errors import InvalidSetting
from bentos.folder import Folder


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path, because `bentoml serve` changes the working directory")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


LOOPBACK = ("127.0.0.1", "localhost", "::1")


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

    kept_experiment_file: AbsolutePath | None = None
    """Where several workers of one parent keep the experiment that they serve by, so that one that is started again
    goes on by it like the others while the experiment file is bad. The parent sets it. None: it is kept nowhere."""

    spool_folder: AbsolutePath | None = None
    """Where the prediction log is written. None and no `folder`: `gauntlet-spool` in BENTOML_HOME, which is the one
    place that is writable wherever BentoML runs."""

    spool_segment_bytes: int = Field(default=64 * 1024 * 1024, ge=64 * 1024)
    """From which size on a new segment of the spool is begun. The shipper deletes whole segments."""

    spool_segment_seconds: float = Field(default=300.0, gt=0)
    """From which age of its oldest record on a new segment is begun, so that what has been moved is deleted soon."""

    spool_limit_bytes: int = Field(default=8 * 1024**3, ge=1024 * 1024)
    """How much all spools in the folder may hold together; beyond it, it is as if the disk were full. An hour of 2,000
    predictions a second with the store down is 8 GB. Where the volume has a limit of its own, stay below it: Kubernetes
    evicts a pod whose emptyDir grows too large."""

    spool_fsync: Literal["never", "interval", "always"] = "interval"
    """When records are put on the disk itself: `never` (when the kernel likes, within about 30 s), `interval`, or
    `always` (before the answer leaves). It matters where a machine dies; where only a process does, nothing is lost."""

    spool_fsync_interval_seconds: float = Field(default=1.0, gt=0, le=60)
    """With `interval`, the longest that a record waits to be put on the disk; a thread does it, and no answer waits."""

    spool_when_full: Literal["answer", "refuse"] = "answer"
    """What scoring does while records cannot be written. `answer`: answers, and counts them as lost. `refuse`: answers
    503, for those who need every row."""

    worker: str = Field(default_factory=socket.gethostname, min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    """The name of this process's spool: the same after a restart, so that it goes on with what it left. The host's
    name, which on Kubernetes is the pod's."""

    workers: int = Field(default=1, ge=1, le=64)
    """How many scoring processes share the port: one a core at most, each with its models in its own memory. The first
    is called `worker`, the others have a number behind it."""

    counters_folder: AbsolutePath | None = None
    """Where each worker keeps its counts, which outlive it, and its deaths. None: `counters` in `folder`, and where
    there is none, `gauntlet-counters` in BENTOML_HOME."""

    hang_seconds: float = Field(default=10.0, gt=0, le=3600)
    """How long a worker that was ready may give no sign of life before the parent of several workers kills it."""

    judge_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where the judge answers, such as http://127.0.0.1:3002. None: `/v1/experiment` says what scoring itself knows."""

    judge_timeout_seconds: float = Field(default=1.0, gt=0, le=30)
    """How long `/v1/experiment` waits for the judge before it answers without it."""

    watch_interval_seconds: float = Field(default=0.25, gt=0, le=2)
    """How often the experiment file is looked at (one `stat`). Changes are promised to be seen within 2 s."""

    insight_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where insight answers, which explains and writes e-mails. None: those routes answer 503 and say why."""

    insight_timeout_seconds: float = Field(default=20.0, gt=0, le=120)
    """How long an explanation or an e-mail may take."""

    body_limit_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """The largest request body that is read. A single row may have 64 KiB; batches and outcomes need more."""

    batch_rows: int = Field(default=1000, ge=1, le=100_000)
    """The most rows that one call of a batch route, or one call with outcomes or treatments, may carry."""

    observed_ahead_seconds: float = Field(default=300.0, ge=0)
    """How far in the future an outcome may have been observed or a treatment taken, as clients' clocks differ. A
    simulation, whose outcomes are observed a month from now, sets it to more than that."""

    patience_seconds: float = Field(default=30.0, gt=0)
    """How long a client may take to send a request or to read an answer; a large body may take longer, at 10 kB/s."""

    most_in_flight: int = Field(default=256, ge=1)
    """How many requests are answered at once; more get 429 and `Retry-After`. Routes that read a body as a stream share
    half as many; single rows are counted by themselves."""

    longest_wait_seconds: float = Field(default=0.25, gt=0)
    """How long a row may wait for those that came before it: what a row takes is measured, and with a slow model fewer
    than `most_in_flight` are let in."""

    rate_per_second: float = Field(default=0.0, ge=0)
    """How many rows a second one client (one name in the key files) may ask for; 0 for no limit."""

    rate_burst: float = Field(default=0.0, ge=0)
    """How many rows a client may ask for at once after a pause; 0: one second's worth, and at least a batch. A call
    with more rows is let in when nothing was asked for a while, and is then paid off."""

    authentication: Literal["auto", "on", "off"] = "auto"
    """Whether API keys are asked for: `on`, `off`, or `auto`, which asks unless `host` is a loopback address and
    `keys_folder` is not set."""

    keys_folder: AbsolutePath | None = None
    """The folder of key files `score`, `outcomes` and `admin`, reread when they change. None: `keys` in `folder`; where
    there is neither and keys are asked for, nobody is let in."""

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://")
    """Where an OpenTelemetry collector takes traces (OTLP over HTTP), such as http://collector:4318. None: no traces,
    and nothing spent on them."""

    challenger_budget_seconds: float = Field(default=0.05, gt=0)
    """What one call of a challenger may take; five calls in a row that overran it leave the challenger alone for half a
    minute."""

    without_challengers: bool = False
    """Score by the champion alone and enrol nobody: what a worker is told after it has died twice in a minute."""

    production: bool = False
    """Whether models must be blessed: a champion that never was does not start, a challenger whose blessing expired or
    was revoked is left out. A champion that was blessed once always starts, with an alert."""

    blessing_public_key_file: AbsolutePath | None = None
    """The public keys whose signatures count, in PEM form; with it blessings are asked for as in production, and one
    that none of these keys signed does not hold. None: nobody needs to have signed."""

    revocations_file: AbsolutePath | None = None
    """Blessings that were taken back, reread while serving. None: `revocations.json` in `folder`, if it is there."""

    gate_policies: str = ""
    """Digests of the gate's policies by which a pass counts, with spaces between; a blessing by another does not
    hold. Empty: by any."""

    host: str = "127.0.0.1"
    """The address that the fast entry listens on. Loopback unless told otherwise; 0.0.0.0 in a container."""

    port: int = Field(default=3000, ge=0, le=65535)
    """The port that the fast entry listens on; 3000 is BentoML's too."""

    admin_host: str | None = None
    """The address of the admin port, with `/metrics`; None for `host`."""

    admin_port: int = Field(default=3001, ge=0, le=65535)
    """The admin port. No Ingress leads to it; Prometheus scrapes it."""

    tls_certificate: AbsolutePath | None = None
    """Certificate chain in PEM form, for TLS at this server. None: plain HTTP, as behind an Ingress."""

    tls_key: AbsolutePath | None = None
    """The certificate's private key in PEM form."""

    drain_seconds: float = Field(default=0.0, ge=0)
    """For how long a stop goes on answering with `/readyz` false, so that a proxy can notice before the port closes."""

    keep_alive_seconds: int = Field(default=75, ge=1)
    """How long an idle connection stays open: longer than a proxy's 60 s, or the proxy meets closed ones."""

    grace_seconds: int = Field(default=20, ge=1)
    """How long a stop waits for requests that are being answered."""

    @property
    def experiment_path(self) -> Path | None:
        """The experiment file; None for built-in roles."""
        return self.experiment_file or (Folder(self.folder).experiment if self.folder else None)

    @property
    def asks_for_blessings(self) -> bool:
        """Whether a model without a blessing that holds must not serve."""
        return self.production or self.blessing_public_key_file is not None

    @property
    def revocations_path(self) -> Path | None:
        """The list of revocations; None where none was named and there is no folder."""
        return self.revocations_file or (Folder(self.folder).revocations if self.folder else None)

    @property
    def keys_path(self) -> Path | None:
        """The folder of key files; None where none was named and there is no folder."""
        return self.keys_folder or (Folder(self.folder).keys if self.folder else None)

    @property
    def asks_for_keys(self) -> bool:
        """Whether clients must show a key."""
        if self.authentication != "auto":
            return self.authentication == "on"
        return self.keys_folder is not None or self.host not in LOOPBACK

    @property
    def burst(self) -> float:
        """How many rows a client may ask for at once."""
        return self.rate_burst or max(self.rate_per_second, float(self.batch_rows))

    @property
    def spool_path(self) -> Path:
        """The folder of spools."""
        if self.spool_folder:
            return self.spool_folder
        return Folder(self.folder).spool if self.folder else bentoml_home() / "gauntlet-spool"

    @property
    def counters_path(self) -> Path:
        """The folder of the workers' counts."""
        if self.counters_folder:
            return self.counters_folder
        return self.folder / "counters" if self.folder else bentoml_home() / "gauntlet-counters"


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
