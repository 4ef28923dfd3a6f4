import pytest

from bentos.errors import BadInput
from bentos.images.release import write_release
from bentos.roles import BentoRoles, PackedModel
from bentos.strict_yaml import load_yaml

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
ROLES = BentoRoles(
    gauntlet="1",
    champion=PackedModel(name="churn", version="1", digest=A, blessing=B),
    challengers=(PackedModel(name="churn", version="2", digest=C),),
)


def test_a_release_names_each_image_once_and_says_which_models_are_inside(tmp_path):
    for digest in (A, B):
        write_release(tmp_path / "r", name="gauntlet-scoring", repository="here/scoring", digest=digest, roles=ROLES)
    path = write_release(tmp_path / "r", name="gauntlet-jobs", repository="here/jobs", digest=C, roles=None)
    found = load_yaml(path.read_bytes())
    assert found["kind"] == "Component"
    assert found["images"] == [
        {"name": "gauntlet-jobs", "newName": "here/jobs", "digest": C},
        {"name": "gauntlet-scoring", "newName": "here/scoring", "digest": B},
    ]
    assert found["patches"] == [{"path": "models.yaml"}]
    patch = load_yaml((tmp_path / "r" / "models.yaml").read_bytes())
    assert patch["spec"]["template"]["metadata"]["annotations"] == {
        "gauntlet.dev/champion": A, "gauntlet.dev/challengers": C, "gauntlet.dev/blessings": B,
        "gauntlet.dev/shadow-only": "",
    }  # fmt: skip


def test_what_is_no_release_is_left_alone(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("kind: Kustomization\n")
    with pytest.raises(BadInput, match="is no release: its kind must be Component"):
        write_release(tmp_path, name="gauntlet-jobs", repository="here/jobs", digest=C, roles=None)
    assert (tmp_path / "kustomization.yaml").read_text() == "kind: Kustomization\n"


@pytest.mark.parametrize("content", ["kind: [", "kind: Component\nimages: [a]\n", "kind: Component\nimages: {a: b}\n"])
def test_a_release_that_cannot_be_read_is_told_and_left_alone(tmp_path, content):
    (tmp_path / "kustomization.yaml").write_text(content)
    with pytest.raises(BadInput, match="is no release"):
        write_release(tmp_path, name="gauntlet-jobs", repository="here/jobs", digest=C, roles=None)
    assert (tmp_path / "kustomization.yaml").read_text() == content


def test_a_release_whose_images_are_still_to_come_takes_the_first(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("kind: Component\nimages:\n")
    path = write_release(tmp_path, name="gauntlet-jobs", repository="here/jobs", digest=C, roles=None)
    assert load_yaml(path.read_bytes())["images"] == [{"name": "gauntlet-jobs", "newName": "here/jobs", "digest": C}]
