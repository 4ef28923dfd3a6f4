"""What `gauntlet train` says on the terminal."""

from __future__ import annotations

from training.train import Trained

_SAID = ("roc_auc", "accuracy", "f1_positive", "f1_weighted", "brier")


def describe(trained: Trained) -> str:
    """A trained model in a few lines, for people."""
    synthetic = "SYNTHETIC data: " if trained.is_synthetic else ""
    metrics = ", ".join(f"{name} {trained.metrics[name]:.3f} ± {trained.deviations[name]:.3f}" for name in _SAID)
    return "\n".join(
        (
            f"{trained.version} is {', '.join(trained.version.aliases) or 'registered'}: {trained.estimator}",
            f"  {synthetic}{trained.source}",
            f"  {trained.rows:,} rows trained on, {trained.holdout_rows:,} held out for the gate",
            f"  {trained.folds}-fold cross-validation: {metrics}",
            f"  ONNX differs from scikit-learn by at most {trained.parity:.1e} in probability",
            f"  {trained.digest}, {trained.seconds:.1f} s",
        )
    )
