"""The folder in which an installation on one machine keeps its things: one place that names every file in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folder:
    """Names of what lies in an installation's folder; nothing is read or made here.

    On Kubernetes the same things are volumes, a ConfigMap and servers of their own.
    """

    path: Path
    experiment_file: Path | None = None
    """Where the experiment file lies, if elsewhere: a mounted ConfigMap."""

    @property
    def tracking(self) -> Path:
        """MLflow's database, where no tracking server is named."""
        return self.path / "mlflow.db"

    @property
    def tracked_files(self) -> Path:
        """MLflow's artifacts, where no tracking server is named."""
        return self.path / "mlflow-artifacts"

    @property
    def bentoml(self) -> Path:
        """BentoML's own home: its model store and Bentos."""
        return self.path / "bentoml"

    @property
    def bento(self) -> Path:
        """A link to the Bento that is served."""
        return self.path / "bento"

    @property
    def insight_bento(self) -> Path:
        """A link to the Bento of the same models that explains them."""
        return self.path / "insight-bento"

    @property
    def experiment(self) -> Path:
        """The experiment file, which is the truth about roles and split."""
        return self.experiment_file or self.path / "experiment.yaml"

    @property
    def spool(self) -> Path:
        """The prediction log on its way to the store, one folder a worker."""
        return self.path / "spool"

    @property
    def store(self) -> Path:
        """The prediction log's SQLite store, where no other is named."""
        return self.path / "store.db"

    @property
    def store_url(self) -> str:
        """The store as SQLAlchemy names it."""
        return f"sqlite:///{self.store}"

    @property
    def serving(self) -> Path:
        """Where the service that runs from here answers, while it runs."""
        return self.path / "serving.json"

    @property
    def keys(self) -> Path:
        """API keys as SHA-256, one file a scope."""
        return self.path / "keys"

    @property
    def customer(self) -> Path:
        """A customer to try `/v1/score` with, as the demo leaves one."""
        return self.data / "customer.json"

    @property
    def policy(self) -> Path:
        """The online policy of this installation; where there is none, the shipped one holds."""
        return self.path / "policy.yaml"

    @property
    def revocations(self) -> Path:
        """Blessings that were taken back."""
        return self.path / "revocations.json"

    @property
    def reports(self) -> Path:
        """Gate reports."""
        return self.path / "reports"

    @property
    def data(self) -> Path:
        """Downloaded or generated data."""
        return self.path / "data"
