"""Packing with the real `bentoml build`: what is in it, what is refused, and that `bentoml serve` serves it."""

from dataclasses import replace
from datetime import timedelta

import httpx
import msgspec
import pytest
import yaml
from packing_toys import ToyRegistry, bentoml_serving
from serving_toys import CONTRACT, FEATURES, NOW

from bentos import packing
from bentos.artifact import Trust, blessing_id, make_keys, read_blessing, read_public_keys
from bentos.artifact.signing import read_signing_key
from bentos.errors import ArtifactDamaged, BadInput, NotBlessed, Refused
from bentos.folder import Folder
from bentos.packing import package
from bentos.roles import find_artifact, read_roles
from service.http.keys import add_key
from service.prediction_log.records import Prediction


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return ToyRegistry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def packed(registry, folder):
    champion = registry.add(0.3, aliases=("champion",), blessing={})
    challenger = registry.add(0.7, blessing={"baseline": champion.digest})
    return package(registry, champion=champion, challengers=[challenger], folder=folder, now=NOW)


def test_the_bento_names_who_is_champion_and_who_may_be_tried(packed, folder, registry):
    roles = read_roles(folder.bento / "src" / "roles.json")
    assert roles.champion == packed.champion
    assert roles.challengers == packed.challengers
    assert [model.digest for model in roles.models] == [version.digest for version in registry.versions[:2]]
    assert all(model.blessing.startswith("sha256:") for model in roles.models)
    assert packed.warnings == ()


def test_the_models_are_in_the_model_store_whole(packed, folder):
    for model in (packed.champion, packed.challengers[0]):
        found = find_artifact(model, (folder.bentoml / "models",))
        assert (found / "blessing.json").is_file()


def test_the_bento_holds_the_service_and_nothing_else(folder):
    source = folder.bento / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert {"service/app.py", "service/entry.py", "bentos/artifact/scorer.py", "roles.json", "bentofile.yaml"} <= files
    assert {name.partition("/")[0] for name in files} == {"service", "bentos", "roles.json", "bentofile.yaml"}
    left_out = ("service/files", "service/insight")
    assert not [name for name in files if "demo" in name or name.startswith(left_out) or name.endswith(".pyc")]


def test_the_insight_bento_holds_the_same_models_and_what_explains_them(packed, folder):
    assert folder.insight_bento.resolve() == packed.insight_path.resolve() != packed.path.resolve()
    source = folder.insight_bento / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert {"service/insight/app.py", "service/insight/worker.py", "bentos/pipeline.py", "roles.json"} <= files
    assert {name.partition("/")[0] for name in files} == {"service", "bentos", "roles.json", "bentofile.yaml"}
    assert (source / "roles.json").read_bytes() == (folder.bento / "src" / "roles.json").read_bytes()
    described = yaml.safe_load((folder.insight_bento / "bento.yaml").read_text())
    assert described["name"] == "gauntlet-insight"
    assert [model["tag"] for model in described["models"]] == [packed.champion.tag, packed.challengers[0].tag]
    lines = (folder.insight_bento / "env" / "python" / "requirements.txt").read_text().split()
    assert [line for line in lines if line.startswith("shap==")]
    assert not [line for line in lines if line.startswith(("onnxruntime", "mlflow", "--"))]


def test_the_image_installs_what_the_lock_says(folder):
    lines = (folder.bento / "env" / "python" / "requirements.txt").read_text().split()
    assert "bentoml==1.4.39" in lines
    assert [line for line in lines if line.startswith("msgspec==")]
    assert not [line for line in lines if line.startswith(("scikit-learn", "mlflow", "--"))]


def test_bentoml_knows_the_models_so_that_an_image_carries_them(folder):
    described = yaml.safe_load((folder.bento / "bento.yaml").read_text())
    roles = read_roles(folder.bento / "src" / "roles.json")
    assert [model["tag"] for model in described["models"]] == [model.tag for model in roles.models]


def test_packing_again_moves_the_link_and_keeps_the_old_bento(packed, folder, registry):
    again = package(registry, champion=registry.versions[0], challengers=[], folder=folder, now=NOW)
    try:
        assert folder.bento.resolve() == again.path.resolve() != packed.path.resolve()
        assert packed.path.is_dir()
        assert read_roles(folder.bento / "src" / "roles.json").challengers == ()
    finally:
        packing._point(folder.bento, packed.path)
        packing._point(folder.insight_bento, packed.insight_path)


@pytest.fixture
def no_build(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("this must be refused before anything is built")

    monkeypatch.setattr(packing, "_build", refuse)


@pytest.mark.usefixtures("no_build")
@pytest.mark.parametrize(
    ("blessing", "reason"),
    [
        (None, "passed no gate"),
        ({"days": -1}, "expired"),
        ({"verdict": "INCONCLUSIVE"}, "verdict is INCONCLUSIVE, not PASS"),
        ({"verdict": "INCONCLUSIVE", "scope": "shadow"}, "names no check that live customers could settle"),
        ({"previous": "sha256:" + "5" * 64, "baseline": "sha256:" + "6" * 64}, "which the registry does not have"),
    ],
    ids=["none", "expired", "inconclusive", "awaits nothing", "chain"],
)
def test_a_challenger_without_a_blessing_that_holds_is_refused(packed, registry, tmp_path, blessing, reason):
    challenger = registry.add(0.6, blessing=blessing)
    with pytest.raises(NotBlessed, match=reason):
        package(registry, champion=registry.versions[0], challengers=[challenger], folder=Folder(tmp_path), now=NOW)
    assert not Folder(tmp_path).bento.exists()


REVOKED = {"blessing": "", "artifact": "sha256:a", "model": "toy", "at": NOW, "who": "ann", "reason": "unfair"}


@pytest.mark.usefixtures("no_build")
@pytest.mark.parametrize("by", ["list", "tag"])
def test_a_revoked_challenger_is_refused_whoever_says_so(packed, registry, tmp_path, by):
    challenger = registry.add(0.65, blessing={})
    digest = blessing_id(read_blessing(registry.folder / challenger.run))
    revocation = msgspec.json.encode({**REVOKED, "blessing": digest}).decode()
    if by == "tag":
        challenger = replace(challenger, tags={"blessing_revoked": revocation})
    trust = Trust(revoked={digest: "by ann: unfair"} if by == "list" else {})
    with pytest.raises(NotBlessed, match=f"{challenger}: the blessing of .* was revoked by ann.*: unfair"):
        package(
            registry,
            champion=registry.versions[0],
            challengers=[challenger],
            folder=Folder(tmp_path),
            now=NOW,
            trust=trust,
        )


@pytest.mark.usefixtures("no_build")
def test_a_challenger_whose_record_was_changed_is_refused(packed, registry, tmp_path):
    challenger = registry.add(0.66, blessing={}, tags={"blessing": "sha256:" + "4" * 64})
    with pytest.raises(NotBlessed, match="was changed after it was given"):
        package(registry, champion=registry.versions[0], challengers=[challenger], folder=Folder(tmp_path), now=NOW)


@pytest.mark.usefixtures("no_build")
@pytest.mark.parametrize("signer", [None, "other"])
def test_a_challenger_that_the_key_did_not_sign_is_refused(packed, registry, tmp_path, signer):
    for one in ("key", "other"):
        make_keys(tmp_path / one)
    key = None if signer is None else read_signing_key(tmp_path / signer)
    challenger = registry.add(0.67 if key else 0.68, blessing={"key": key})
    champion = registry.add(0.46, aliases=("champion",), blessing={"key": read_signing_key(tmp_path / "key")})
    with pytest.raises(NotBlessed, match="signed by another key" if signer else "is not signed"):
        package(
            registry,
            champion=champion,
            challengers=[challenger],
            folder=Folder(tmp_path),
            now=NOW,
            trust=Trust(keys=read_public_keys(tmp_path / "key.pub")),
        )


def test_a_challenger_of_the_shadow_is_packed_for_the_shadow_and_a_stale_baseline_is_a_warning(
    packed, registry, tmp_path, monkeypatch
):
    monkeypatch.setattr(packing, "_build", lambda *_, **__: _built(tmp_path))
    champion = registry.versions[0]
    awaiting = {"verdict": "INCONCLUSIVE", "scope": "shadow", "awaits": ["non_inferiority"]}
    challenger = registry.add(0.69, blessing=awaiting)
    packed = package(registry, champion=champion, challengers=[challenger], folder=Folder(tmp_path), now=NOW)
    assert [model.scope for model in (packed.champion, *packed.challengers)] == ["split", "shadow"]
    assert f"{challenger} (for the shadow only)" in str(packed)
    assert packed.warnings == (
        f"{challenger} was judged without a champion, and not against {champion}; only live customers compare the two",
    )


@pytest.mark.usefixtures("no_build")
def test_a_champion_that_does_not_reign_needs_a_blessing_too(registry, tmp_path):
    with pytest.raises(NotBlessed):
        package(registry, champion=registry.add(0.5), challengers=[], folder=Folder(tmp_path), now=NOW)


@pytest.mark.usefixtures("no_build")
def test_a_reigning_champion_that_never_passed_a_gate_is_refused(registry, tmp_path):
    champion = registry.add(0.45, aliases=("champion",), blessing=None)
    with pytest.raises(NotBlessed, match="passed no gate"):
        package(registry, champion=champion, challengers=[], folder=Folder(tmp_path), now=NOW)


def test_a_reigning_champion_is_packed_after_its_blessing_expired_or_was_revoked_or_unsigned(
    registry, tmp_path, monkeypatch
):
    built = []
    monkeypatch.setattr(packing, "_build", lambda job, *_, **__: built.append(job) or _built(tmp_path))
    champion = registry.add(0.4, aliases=("champion",), blessing={"days": 1})
    make_keys(tmp_path / "key")
    digest = blessing_id(read_blessing(registry.folder / champion.run))
    trust = Trust(keys=read_public_keys(tmp_path / "key.pub"), revoked={digest: "by ann: unfair"})
    now = NOW + timedelta(days=2)
    packed = package(registry, champion=champion, challengers=[], folder=Folder(tmp_path), now=now, trust=trust)
    assert len(built) == len(packing.RECIPES) == 2
    said = ["is not signed", "was revoked by ann: unfair", "expired on"]
    assert all(word in warning for word, warning in zip(said, packed.warnings, strict=True))
    assert str(packed).count("warning: the reigning champion is packed although") == 3


@pytest.mark.usefixtures("no_build")
def test_a_reigning_champion_whose_record_was_changed_is_refused(registry, tmp_path):
    champion = registry.add(0.41, aliases=("champion",), blessing={}, tags={"blessing": "sha256:" + "4" * 64})
    with pytest.raises(NotBlessed, match="was changed after it was given"):
        package(registry, champion=champion, challengers=[], folder=Folder(tmp_path), now=NOW)


def _built(path):
    from bentos.building import Built

    return Built(tag="gauntlet:x", path=str(path))


@pytest.mark.usefixtures("no_build")
def test_models_of_different_contracts_are_not_packed_together(packed, registry, tmp_path):
    other = registry.add(0.5, blessing={}, contract=msgspec.structs.replace(CONTRACT, target="Fraud"))
    with pytest.raises(Refused, match="contracts differ"):
        package(registry, champion=registry.versions[0], challengers=[other], folder=Folder(tmp_path), now=NOW)


@pytest.mark.usefixtures("no_build")
def test_one_model_in_two_roles_is_refused(packed, registry, tmp_path):
    champion = registry.versions[0]
    with pytest.raises(BadInput, match="name each model once"):
        package(registry, champion=champion, challengers=[champion], folder=Folder(tmp_path), now=NOW)


@pytest.mark.usefixtures("no_build")
def test_a_damaged_model_is_refused_by_file(registry, tmp_path):
    version = registry.add(0.55, aliases=("champion",), blessing={})
    (registry.folder / version.run / "model.onnx").write_bytes(b"x")
    with pytest.raises(ArtifactDamaged, match=r"model\.onnx"):
        package(registry, champion=version, challengers=[], folder=Folder(tmp_path), now=NOW)


def test_plain_bentoml_serve_answers_the_same_routes(packed, folder, tmp_path):
    with bentoml_serving(folder, tmp_path) as (url, admin), httpx.Client(base_url=url, timeout=30) as client:
        answer = client.post("/v1/score", json={"customer_id": "a", "features": FEATURES})
        assert (answer.status_code, answer.json()["variant"]) == (200, "champion")
        assert answer.json()["model"]["digest"] == packed.champion.digest
        assert client.post("/v1/score", json={"features": {}}).status_code == 422
        experiment = client.get("/v1/experiment").json()
        assert (experiment["mode"], experiment["revision"]) == ("off", 0)
        assert "gauntlet_predictions_total" in httpx.get(f"{admin}/metrics").text
        assert client.get("/metrics").status_code == 404
        assert "tenure" in client.get("/docs").text
        for path in ("/livez", "/readyz", "/healthz", "/schema.json"):
            assert client.get(path).status_code == 200
        assert client.get("/nope").json()["type"] == "urn:gauntlet:problem:unknown-route"
    (spool,) = (tmp_path / "spool").glob("*/*.jsonl")
    assert msgspec.json.decode(spool.read_bytes(), type=Prediction).prediction_id == answer.json()["prediction_id"]


def test_bentoml_serve_asks_for_keys_unless_it_is_told_that_it_listens_on_loopback(packed, folder, tmp_path):
    keys = tmp_path / "keys"
    key = add_key(keys, "score", "tests")
    with bentoml_serving(folder, tmp_path, GAUNTLET_HOST=None, GAUNTLET_KEYS_FOLDER=str(keys)) as (url, _):
        answer = httpx.post(f"{url}/v1/score", json={"features": FEATURES})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        headers = {"authorization": f"Bearer {key}"}
        assert httpx.post(f"{url}/v1/score", json={"features": FEATURES}, headers=headers).status_code == 200
        assert httpx.get(f"{url}/docs").status_code == 200


def test_no_route_reads_a_pickle(packed, folder, tmp_path):
    opened = tmp_path / "opened"
    poison = b"cposix\nsystem\n(S'touch " + str(opened).encode() + b"'\ntR."
    with bentoml_serving(folder, tmp_path) as (url, _), httpx.Client(base_url=url, timeout=30) as client:
        for path in ("/", "/v1/score", "/v1/score/batch", "/v1/outcomes", "/schema.json", "/Gauntlet", "/docs"):
            for kind in ("application/vnd.bentoml+pickle", "application/octet-stream", "application/json"):
                headers = {"content-type": kind, "payload-container": "Pickle"}
                assert 400 <= client.post(path, content=poison, headers=headers).status_code < 500
    assert not opened.exists()
