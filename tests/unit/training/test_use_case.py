from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bentos.artifact import Categorical, Numeric, phrase_of
from bentos.errors import InvalidContract, NotFound
from training.use_case import Bundled, Generator, UseCase, load_use_case

MINIMAL = """
schema_version: 1
name: loan
id: who
target: default
labels: {positive: "Yes", negative: "No"}
features:
  - {name: age, kind: numeric, minimum: 18, maximum: 120}
  - {name: home, kind: categorical, categories: [rents, owns]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "use_case.yaml"
    path.write_text(text)
    return path


def changed(folder: Path, **keys: object) -> Path:
    raw = yaml.safe_load(MINIMAL)
    for path, value in keys.items():
        *parents, last = path.split("__")
        place = raw
        for parent in parents:
            place = place[int(parent) if parent.isdigit() else parent]
        place[last] = value
    return written(folder, yaml.safe_dump(raw))


def test_telco_has_the_data_s_nineteen_features(telco_use_case: UseCase) -> None:
    contract = telco_use_case.contract
    assert (contract.name, contract.id, contract.target, len(contract.features)) == ("churn", "customerID", "Churn", 19)
    assert contract.protected == ("gender", "SeniorCitizen")
    assert (contract.cut, contract.false_positive_cost) == (0.5, 0.2)
    assert [band.name for band in contract.risk_bands] == ["low", "medium", "high"]


def test_telco_has_a_phrase_for_every_value_and_offers_what_the_company_can_change(telco_use_case: UseCase) -> None:
    contract = telco_use_case.contract
    for feature in contract.features:
        values = (*feature.categories, None) if isinstance(feature, Categorical) else (0.0, 1.0, 2.5, None)
        wordless = [value for value in values if phrase_of(feature, value) is None]
        assert wordless == ([] if feature.missing else [None])
    assert [feature.name for feature in contract.actionable] == [
        "OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "Contract", "PaperlessBilling",
        "PaymentMethod", "MonthlyCharges",
    ]  # fmt: skip


def test_a_phrase_for_an_unknown_category_names_the_feature(tmp_path: Path) -> None:
    with pytest.raises(InvalidContract, match=r"home: phrases\['squats'\] is for no value of it; allowed are 'rents'"):
        load_use_case(changed(tmp_path, features__1__phrases={"squats": "no roof"}))


def test_blank_total_charges_are_missing_and_scored_as_nothing_paid_yet(telco_use_case: UseCase) -> None:
    total = telco_use_case.contract.feature("TotalCharges")
    assert isinstance(total, Numeric)
    assert (total.missing, total.fill) == (("", " "), 0)


def test_every_telco_feature_is_described(telco_use_case: UseCase) -> None:
    assert all(feature.description for feature in telco_use_case.contract.features)


def test_yes_and_no_are_texts_in_the_shipped_use_case(telco_use_case: UseCase) -> None:
    categories = [c for f in telco_use_case.contract.features if isinstance(f, Categorical) for c in f.categories]
    assert all(isinstance(category, str) for category in categories)


def test_each_use_case_names_its_own_source(telco_use_case: UseCase, cancer_use_case: UseCase) -> None:
    assert telco_use_case.source == Generator(name="telco")
    assert cancer_use_case.source == Bundled(name="breast_cancer")


def test_a_minimal_use_case_needs_no_source(tmp_path: Path) -> None:
    use_case = load_use_case(written(tmp_path, MINIMAL))
    assert use_case.source is None
    assert use_case.downloads == {}


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        pytest.param({"cutoff": 0.5}, ["cutoff", "the keys here are"], id="unknown-key"),
        pytest.param({"cut": 1.5}, ["cut is 1.5", "between 0 and 1"], id="cut-outside"),
        pytest.param({"cut": "half"}, ["cut", "float"], id="wrong-type"),
        pytest.param({"features__0__maxmum": 9}, ["features[0]", "maxmum"], id="unknown-feature-key"),
        pytest.param({"features__0__minimum": 200}, ["age", "minimum must be below maximum"], id="empty-range"),
        pytest.param({"features__0__missing": ["?"]}, ["age", "missing", "fill"], id="missing-without-fill"),
        pytest.param({"features__0__kind": "number"}, ["features[0].kind", "number"], id="unknown-kind"),
        pytest.param(
            {"features__1__categories": [True, False]}, ["categories[0]", 'quote words such as "Yes"'], id="yes"
        ),
        pytest.param({"protected": ["age"]}, ["age", "categorical"], id="protected-number"),
        pytest.param({"source": {"kind": "database", "name": "x"}}, ["source.kind", "database"], id="unknown-source"),
        pytest.param(
            {"downloads": {"d": {"url": "https://x.example/d.csv", "sha256": "abc"}}},
            ["downloads.d.sha256"],
            id="digest",
        ),
        pytest.param(
            {"downloads": {"d": {"url": "file:///etc/passwd", "sha256": "0" * 64}}}, ["downloads.d.url"], id="scheme"
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_key(tmp_path: Path, keys: dict[str, object], named: list[str]) -> None:
    with pytest.raises(InvalidContract) as caught:
        load_use_case(changed(tmp_path, **keys))
    for text in named:
        assert text in str(caught.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidContract, match="target"):
        load_use_case(written(tmp_path, MINIMAL.replace("target: default\n", "")))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_a_file_that_is_no_mapping_is_told_which_keys_it_needs(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidContract, match="mapping with the keys schema_version, name, id"):
        load_use_case(written(tmp_path, text))


def test_broken_yaml_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidContract) as caught:
        load_use_case(written(tmp_path, "name: [unclosed"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.yaml"):
        load_use_case(tmp_path / "nowhere.yaml")
