"""What `gauntlet train` says on the terminal."""

from __future__ import annotations

from training.train import Trained

MANY_SEEN = 0.05
"""Share of held-out rows seen in training from which people are warned; of Telco's 0.6 % are, as some are alike."""

_SAID = ("roc_auc", "accuracy", "f1_positive", "f1_weighted", "brier")


def describe(trained: Trained) -> str:
    """A trained model in a few lines, for people."""
    synthetic = "SYNTHETIC data: " if trained.is_synthetic else ""
    metrics = ", ".join(f"{name} {trained.metrics[name]:.3f} ± {trained.deviations[name]:.3f}" for name in _SAID)
    share = trained.holdout_seen / trained.holdout_rows
    seen = (
        f"  WARNING: {trained.holdout_seen:,} of the held-out rows ({share:.0%}) are rows trained on too, under other "
        "ids: the gate would judge what was learned by heart",
    )
    return "\n".join(
        (
            f"{trained.version} is {', '.join(trained.version.aliases) or 'registered'}: {trained.estimator}",
            f"  {synthetic}{trained.source}",
            f"  {trained.rows:,} rows trained on, {trained.holdout_rows:,} held out for the gate",
            *(seen if share > MANY_SEEN else ()),
            f"  {trained.folds}-fold cross-validation: {metrics}",
            f"  ONNX differs from scikit-learn by at most {trained.parity:.1e} in probability",
            f"  {trained.digest}, {trained.seconds:.1f} s",
        )
    )
