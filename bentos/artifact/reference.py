"""The reference: how features and score were distributed in training, in the bins that drift is counted in."""

from __future__ import annotations

import msgspec


class Binned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One distribution over fixed bins.

    Attributes:
        name: The feature's name, or `score`.
        edges: Inner edges of a numeric feature's bins, rising; value v falls in bin `bisect_right(edges, v)`.
        bins: A name for each bin, `missing` and `unseen` included where the feature can have them.
        counts: How many training rows fell in each.
        deviation: Standard deviation of the training rows that were not missing; None where the feature has none.
        mean: Their mean; None where there is none, or an older Gauntlet counted them.
    """

    name: str
    edges: tuple[float, ...] = ()
    bins: tuple[str, ...]
    counts: tuple[int, ...]
    deviation: float | None = None
    mean: float | None = None

    @property
    def ordered(self) -> tuple[str, ...]:
        """The bins that have an order, rising: those between edges. Categories and `missing` have none."""
        return self.bins[: len(self.edges) + 1] if self.edges else ()


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `reference.json` holds.

    Attributes:
        n: Rows that were counted.
        features: One distribution a feature, in the contract's order.
        score: The distribution of the probability that the model gives on rows it was not fitted on.
    """

    schema_version: int = 1
    n: int
    features: tuple[Binned, ...]
    score: Binned


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `training.json` holds: where the model comes from.

    Attributes:
        data: Digest of the data as it was read.
        is_synthetic: Whether the data came from the embedded generator.
        rows: Rows in the data; of them `holdout_rows` were kept untouched.
        holdout: Digest of the holdout's file, which is kept with the run.
        holdout_rows: Rows of the holdout.
        holdout_share: Share of ids that the stable hash keeps out of training, in (0, 1).
        seed: Seed of the fit and of the cross-validation.
        estimator: The estimator's import path.
        parameters: Its parameters, as JSON values.
        left_out: Features that the model was told not to read.
        metrics: Cross-validated means, each named with its average.
        parity: Largest difference of probability between `model.onnx` and the estimator.
        versions: Versions of the libraries that made it.
        git_revision: The checkout's revision; None outside one.
        run: The MLflow run.
    """

    schema_version: int = 1
    data: str
    is_synthetic: bool
    rows: int
    holdout: str
    holdout_rows: int
    holdout_share: float
    seed: int
    estimator: str
    parameters: dict[str, str | int | float | bool | None]
    left_out: tuple[str, ...]
    metrics: dict[str, float]
    parity: float
    versions: dict[str, str]
    git_revision: str | None
    run: str | None


def dump_json(record: Reference | TrainingRecord) -> bytes:
    """The record as the bytes of its file."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
