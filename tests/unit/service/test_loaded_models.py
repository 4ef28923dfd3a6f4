"""Loading what a Bento carries: verified, one row for all, and refused by name."""

import msgspec
import pytest
from serving_toys import CONTRACT, FEATURES, artifact_of, make_bento, write_artifact

from bentos.artifact import RiskBand
from bentos.errors import ArtifactDamaged, NotFound, Refused
from bentos.roles import ROLES, BentoRoles, PackedModel, dump_roles, read_roles
from service.scoring.models import find_source, load_models


def load(bento):
    return load_models(bento / "src", (bento / "models",))


def test_champion_and_challengers_score_the_same_row(tmp_path):
    digests = make_bento(tmp_path, [0.25, 0.75])
    models = load(tmp_path)
    models.rows.fill(0, FEATURES)
    assert [models.by_digest[digest].scorer.score_first(1) for digest in digests] == [[0.25], [0.75]]
    assert models.built_in.digest == digests[0]
    assert str(models.by_digest[digests[1]].identity) == "toy:2"


def test_a_row_does_not_remember_the_one_before(tmp_path):
    make_bento(tmp_path, [0.1], slope=0.01)
    models = load(tmp_path)
    models.rows.fill(0, {**FEATURES, "tenure": 50, "charges": None})
    models.rows.fill(0, {**FEATURES, "tenure": 20})
    assert models.built_in.scorer.score_first(1) == pytest.approx([0.3])
    assert models.rows.values[0].sum() == pytest.approx(20 + 70.5 + 2)


def test_rows_are_scored_together_as_they_are_alone(tmp_path):
    make_bento(tmp_path, [0.1], slope=0.01)
    models = load(tmp_path)
    for i in range(10):
        models.rows.fill(i, {**FEATURES, "tenure": i})
    assert models.built_in.scorer.score_first(10) == pytest.approx([0.1 + 0.01 * i for i in range(10)])
    assert models.built_in.scorer.score_first(3) == pytest.approx([0.1, 0.11, 0.12])


def test_a_model_that_is_loaded_late_answers_as_one_that_is_loaded_at_once(tmp_path):
    make_bento(tmp_path, [0.25, 0.75])
    models = load_models(tmp_path / "src", (tmp_path / "models",), is_late=True)
    models.rows.fill(0, FEATURES)
    for model in models.by_digest.values():
        first = model.scorer.score_first(1)
        assert (
            model.scorer.score(models.rows.values[:1]).tolist() == first == [0.25 if model is models.built_in else 0.75]
        )


@pytest.mark.parametrize("name", ["model.onnx", "contract.json", "estimator.skops"])
def test_a_damaged_file_is_refused_by_name(tmp_path, name):
    digest = make_bento(tmp_path, [0.25, 0.75])[1]
    path = artifact_of(tmp_path, digest) / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactDamaged, match=name):
        load(tmp_path)


def test_an_artifact_other_than_the_packed_one_is_refused(tmp_path):
    first, second = make_bento(tmp_path, [0.25, 0.75])
    place = artifact_of(tmp_path, second)
    place.rename(tmp_path / "away")
    artifact_of(tmp_path, first).rename(place)
    write_artifact(artifact_of(tmp_path, first), 0.25)
    with pytest.raises(ArtifactDamaged, match=second):
        load(tmp_path)


def test_a_challenger_that_answers_another_question_is_refused(tmp_path):
    make_bento(tmp_path, [0.25])
    other = msgspec.structs.replace(CONTRACT, target="Fraud")
    _add(tmp_path, other)
    with pytest.raises(Refused, match="contract"):
        load(tmp_path)


def test_a_challenger_may_have_a_cut_and_bands_of_its_own(tmp_path):
    make_bento(tmp_path, [0.25])
    bands = (RiskBand(name="any", from_probability=0.0),)
    _add(tmp_path, msgspec.structs.replace(CONTRACT, cut=0.4, risk_bands=bands))
    assert len(load(tmp_path).by_digest) == 2


def test_a_model_of_another_width_is_refused(tmp_path):
    make_bento(tmp_path, [0.25])
    _add(tmp_path, CONTRACT, width=3)
    with pytest.raises(ArtifactDamaged, match="3 columns"):
        load(tmp_path)


def test_a_model_that_is_nowhere_is_named_with_where_was_looked(tmp_path):
    make_bento(tmp_path, [0.25])
    with pytest.raises(NotFound, match="BENTOML_HOME"):
        load_models(tmp_path / "src", (tmp_path / "elsewhere",))


def test_a_folder_that_is_no_bento_says_what_to_do(tmp_path):
    with pytest.raises(NotFound, match="gauntlet package"):
        find_source(tmp_path)


def test_roles_that_cannot_be_read_are_damage(tmp_path):
    (tmp_path / ROLES).write_text("{")
    with pytest.raises(ArtifactDamaged, match=ROLES):
        read_roles(tmp_path / ROLES)


def _add(bento, contract, width=None):
    beside = bento / "other"
    digest = write_artifact(beside, 0.5, contract=contract, width=width)
    place = artifact_of(bento, digest)
    place.parent.mkdir(parents=True)
    beside.rename(place)
    roles = read_roles(bento / "src" / ROLES)
    model = PackedModel(name="toy", version="9", digest=digest)
    changed = BentoRoles(gauntlet=roles.gauntlet, champion=roles.champion, challengers=(model,))
    (bento / "src" / ROLES).write_bytes(dump_roles(changed))
