"""Any two registered models on one holdout: fetched, verified, scored by `model.onnx`, and kept by their digests."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from bentos.artifact import Artifact
from bentos.errors import GauntletError, InvalidData, Refused
from bentos.registry import Registry, Version
from validation.gate.comparing import Compared, common_holdout, compare
from validation.gate.holdout import HOLDOUT, Holdout, read_holdout
from validation.gate.run import gather_evidence

_MOST_KEPT = 64
_SEED = 0
"""Of the bootstrap of intervals: the same pair gives the same numbers."""


@dataclass(frozen=True)
class Pair:
    """Two models side by side.

    Attributes:
        first: Its version.
        second: Its version.
        compared: What they answered.
        rows: Which rows they answered, in a sentence.
        is_whole: Whether these are the holdout of both, and not what two holdouts have in common.
        is_synthetic: Whether the rows came from a generator.
        positive: The positive label.
    """

    first: Version
    second: Version
    compared: Compared
    rows: str
    is_whole: bool
    is_synthetic: bool
    positive: str


class Pairs:
    """Comparisons, kept by the digests of both models: an artifact never changes. Safe for several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Pair] = OrderedDict()
        self._turn = threading.Lock()

    def compare(self, registry: Registry, first: Version, second: Version) -> Pair:
        """Compare two versions; a pair that was compared before is not scored again.

        Raises:
            Refused: They are the same model, are asked different things, or have no rows that neither was trained on.
            NotFound: An artifact or a holdout is not at the tracking server any more.
            ArtifactDamaged: Bytes are not those that were registered.
            Unavailable: The tracking server does not answer.
        """
        for version in (first, second):
            if not version.digest:
                raise Refused(f"{version} has no digest in the registry, so its bytes cannot be verified")
        if first.digest == second.digest:
            raise Refused(f"{first} and {second} are the same artifact, so there is nothing to compare; choose two")
        key = (first.digest, second.digest)
        with self._turn:  # one at a time: two cores score no faster
            if key not in self._kept:
                self._kept[key] = _compare(registry, first, second)
                if len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _compare(registry: Registry, first: Version, second: Version) -> Pair:
    with tempfile.TemporaryDirectory(prefix="gauntlet-console-") as made:
        scratch = Path(made)
        one, other = (registry.fetch(version, scratch / version.digest[-12:]) for version in (first, second))
        if not one.contract.serves_as(other.contract):
            raise Refused(
                f"{first} and {second} are asked different things: their contracts differ in name, id, target, labels "
                "or features, so they cannot answer the same rows"
            )
        holdout, rows = _shared_rows(registry, (first, one), (second, other), scratch)
        try:
            compared = compare(gather_evidence(one, other, holdout, _SEED))
        except ValueError as e:
            raise InvalidData(f"{first} and {second} cannot be compared: {e}", []) from e
        return Pair(
            first=first,
            second=second,
            compared=compared,
            rows=rows,
            is_whole=one.training.holdout == other.training.holdout,
            is_synthetic=one.training.is_synthetic or other.training.is_synthetic,
            positive=one.contract.labels.positive,
        )


Fetched = tuple[Version, Artifact]


def _shared_rows(registry: Registry, first: Fetched, second: Fetched, scratch: Path) -> tuple[Holdout, str]:
    """The rows that neither model was trained on, and which these are."""
    mine, theirs = first[1].training, second[1].training
    share = f"{mine.holdout_share:.0%}"
    holdout = _holdout_of(registry, first, scratch)
    if mine.holdout == theirs.holdout:
        return holdout, (
            f"Both were trained on the same data and kept the same {len(holdout.ids):,} rows out of it ({share} of the "
            "ids, by a stable hash): neither has seen them."
        )
    common = common_holdout(holdout, _holdout_of(registry, second, scratch))
    return common, (
        f"Their holdouts differ: {mine.holdout_rows:,} rows of {first[0]} and {theirs.holdout_rows:,} of {second[0]}. "
        f"Compared are the {len(common.ids):,} rows that stand in both, the same in every value: both kept them out of "
        "their training. Of the others one may have been trained on, so they are left out."
    )


def _holdout_of(registry: Registry, fetched: Fetched, scratch: Path) -> Holdout:
    version, artifact = fetched
    try:
        path = registry.fetch_file(version, HOLDOUT, scratch / f"run-{version.number}")
        return read_holdout(path, artifact)
    except InvalidData:
        raise
    except GauntletError as e:
        raise type(e)(f"the holdout of {version} cannot be used: {e}") from e
