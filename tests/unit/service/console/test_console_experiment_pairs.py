"""Two registered models compared: real artifacts of toy models, in a registry that is a folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serving_toys import CONTRACT, REFERENCE, make_onnx

from bentos.artifact import TrainingRecord, dump_contract, dump_json, load_artifact, sha256, write_files
from bentos.errors import NotFound, Refused
from bentos.registry import Version
from service.console.experiment import pair_figures, pair_sections
from service.console.experiment.pairs import Pairs


@dataclass
class FolderRegistry:
    """Artifacts and holdouts that lie in a folder.

    Attributes:
        folder: Where.
        fetched: What was asked for.
    """

    folder: Path
    fetched: list[str] = field(default_factory=list)

    def add(self, number: str, *, slope: float, ids: range, **changes: Any) -> Version:
        """A model whose probability rises or falls with tenure, and its holdout."""
        made = self.folder / number
        made.mkdir()
        rows = [{"customerID": f"c{one}", "tenure": one % 73, "Churn": "Yes" if one % 73 > 36 else "No"} for one in ids]
        alike = {"charges": 50.0, "contract": "One year", "senior": "0"}
        pq.write_table(pa.Table.from_pylist([row | alike for row in rows]), made / "holdout.parquet")
        digest = sha256((made / "holdout.parquet").read_bytes())
        record = TrainingRecord(
            data="sha256:data", is_synthetic=False, rows=1000, holdout=digest, holdout_rows=len(ids), holdout_share=0.2,
            seed=0, estimator="toy", parameters={}, left_out=(), metrics={}, parity=0.0, versions={}, git_revision=None,
            run=None,
        )  # fmt: skip
        files = {
            "contract.json": dump_contract(changes.get("contract", CONTRACT)),
            "estimator.skops": b"toy",
            "model.onnx": make_onnx(changes.get("level", 0.5 - 36.5 * slope), slope=slope),
            "reference.json": dump_json(REFERENCE),
            "training.json": dump_json(record),
        }
        return Version("toy", number, write_files(made / "artifact", files), f"run-{number}")

    def fetch(self, version: Version, folder: Path) -> Any:
        self.fetched.append(version.number)
        shutil.copytree(self.folder / version.number / "artifact", folder)
        return load_artifact(folder)

    def fetch_file(self, version: Version, path: str, folder: Path) -> Path:
        kept = self.folder / version.number / Path(path).name
        if not kept.is_file():
            raise NotFound(f"the run of {version} has no {path}")
        return kept


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    return FolderRegistry(tmp_path)


def compared(registry: FolderRegistry, first: Version, second: Version, pairs: Pairs | None = None) -> Any:
    return (pairs or Pairs()).compare(registry, first, second)  # type: ignore[arg-type]


def test_two_models_answer_the_same_held_out_rows(registry: FolderRegistry) -> None:
    right, wrong = registry.add("1", slope=0.01, ids=range(146)), registry.add("2", slope=-0.01, ids=range(146))
    found = compared(registry, right, wrong)
    assert (found.compared.first_alone, found.compared.second_alone, found.compared.n) == (146, 0, 146)
    assert found.is_whole
    assert "kept the same 146 rows" in found.rows
    said = [bar["y"][0] for bar in pair_figures.bars(found).traces]
    assert said == [1.0, 0.0]


def test_a_pair_is_scored_once(registry: FolderRegistry) -> None:
    first, second = registry.add("1", slope=0.01, ids=range(146)), registry.add("2", slope=-0.01, ids=range(146))
    pairs = Pairs()
    assert compared(registry, first, second, pairs) is compared(registry, first, second, pairs)
    assert registry.fetched == ["1", "2"]


def test_of_different_holdouts_only_the_common_rows_are_used_and_that_is_said(registry: FolderRegistry) -> None:
    first, second = registry.add("1", slope=0.01, ids=range(200)), registry.add("2", slope=-0.01, ids=range(60, 300))
    found = compared(registry, first, second)
    assert found.compared.n == 140
    assert not found.is_whole
    assert "Compared are the 140 rows that stand in both" in found.rows
    assert pair_sections.shown(found, None, "home").children[0].children[3].className == "notice warn"


def test_holdouts_that_share_nothing_are_refused(registry: FolderRegistry) -> None:
    first, second = registry.add("1", slope=0.01, ids=range(146)), registry.add("2", slope=-0.01, ids=range(200, 346))
    with pytest.raises(Refused, match="may have been trained on the other's holdout"):
        compared(registry, first, second)


def test_the_same_model_twice_is_refused(registry: FolderRegistry) -> None:
    version = registry.add("1", slope=0.01, ids=range(146))
    with pytest.raises(Refused, match="the same artifact"):
        compared(registry, version, version)


def test_models_that_are_asked_different_things_are_refused(registry: FolderRegistry) -> None:
    import msgspec

    other = msgspec.structs.replace(CONTRACT, target="Leaves")
    first = registry.add("1", slope=0.01, ids=range(146))
    second = registry.add("2", slope=-0.01, ids=range(146), contract=other)
    with pytest.raises(Refused, match="asked different things"):
        compared(registry, first, second)


def test_a_holdout_that_is_gone_is_named(registry: FolderRegistry) -> None:
    first, second = registry.add("1", slope=0.01, ids=range(146)), registry.add("2", slope=-0.01, ids=range(146))
    (registry.folder / "1" / "holdout.parquet").unlink()
    with pytest.raises(NotFound, match="the holdout of toy version 1 cannot be used"):
        compared(registry, first, second)


def test_the_better_one_is_for_the_gate_unless_it_is_the_champion_already(registry: FolderRegistry) -> None:
    right, wrong = registry.add("1", slope=0.01, ids=range(146)), registry.add("2", slope=-0.01, ids=range(146))
    same = registry.add("3", slope=0.0101, ids=range(146))
    for pair in (compared(registry, right, wrong), compared(registry, wrong, right)):
        followed = [str(pair_sections.shown(pair, champion, "home")) for champion in (None, right, wrong)]
        assert "gauntlet gate models:/toy/1 --folder home" in followed[0]
        assert "toy v1 is the champion already: nothing is to be done." in followed[1]
        assert "gauntlet gate" not in followed[1]
        assert "for the gate to say, against the champion, toy v2" in followed[2]
        assert "gauntlet gate models:/toy/1 --folder home" in followed[2]
    equal = str(pair_sections.shown(compared(registry, right, same), wrong, "home"))
    assert "Nothing follows from it." in equal
    assert "gauntlet gate" not in equal


def test_every_picture_says_how_many_rows_it_rests_on(registry: FolderRegistry) -> None:
    first, second = registry.add("1", slope=0.01, ids=range(146)), registry.add("2", slope=0.002, ids=range(146))
    pair = compared(registry, first, second)
    for make in pair_sections._PICTURES:
        assert "n = 146 held-out rows" in make(pair).says


def test_the_tables_of_labels_add_up_to_the_rows(registry: FolderRegistry) -> None:
    first, second = registry.add("1", slope=0.01, ids=range(146)), registry.add("2", slope=0, level=0.9, ids=range(146))
    pair = compared(registry, first, second)
    for figure in (pair_figures.contingency(pair), pair_figures.confusion(pair, 0), pair_figures.confusion(pair, 1)):
        assert sum(int(cell) for row in figure.table[1] for cell in row[1:]) == 146
