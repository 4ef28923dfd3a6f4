"""What goes into an image, what is taken out of it, and the bill of what it holds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import gauntlet
from bentos.errors import BadInput, InvalidSetting, NotFound
from bentos.folder import Folder
from bentos.images import KINDS
from bentos.images.bill import Installed, make_bill
from bentos.images.commands import image
from bentos.images.contexts import HERE, SLIMMING, lay_out_insight, lay_out_jobs, lay_out_scoring
from bentos.images.making import Order, check_order, make_image, when_and_what
from bentos.images.slimming import UNUSED, installed, remove_unread
from bentos.roles import BentoRoles, PackedModel, dump_roles

DIGEST, OTHER, IMAGE = ("sha256:" + digit * 64 for digit in "abd")
CHAMPION = PackedModel(name="churn", version="1", digest=DIGEST, blessing="sha256:" + "c" * 64)
CHALLENGER = PackedModel(name="churn", version="2", digest=OTHER, scope="shadow")


@pytest.fixture
def home(tmp_path):
    """An installation whose Bento was packed at some moment, under a random version."""

    def pack(when="2026-01-01T00:00:00+00:00", version="abcdefgh"):
        folder = Folder(tmp_path / "home")
        bento = folder.path / "bentoml" / "bentos" / "gauntlet" / version
        (bento / "src").mkdir(parents=True)
        (bento / "src" / "roles.json").write_bytes(dump_roles(BentoRoles(gauntlet="1", champion=CHAMPION,
                                                                         challengers=(CHALLENGER,))))  # fmt: skip
        (bento / "src" / "entry.py").touch()
        (bento / "src" / "__pycache__").mkdir()
        models = [{"tag": model.tag, "creation_time": when} for model in (CHAMPION, CHALLENGER)]
        described = {"version": version, "creation_time": when, "models": models}
        (bento / "bento.yaml").write_text(yaml.safe_dump(described))
        for model in (CHAMPION, CHALLENGER):
            name, _, number = model.tag.partition(":")
            artifact = folder.bentoml / "models" / name / number / "artifact"
            artifact.mkdir(parents=True, exist_ok=True)
            (artifact / "model.onnx").write_bytes(model.digest.encode())
            (artifact.parent / "model.yaml").write_text(yaml.safe_dump({"creation_time": when}))
        for link in (folder.bento, folder.insight_bento):
            link.unlink(missing_ok=True)
            link.symlink_to(bento)
        return folder

    return pack


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def test_the_same_models_and_code_are_laid_out_alike_whenever_they_were_packed(home, tmp_path):
    first = lay_out_scoring(tmp_path / "one", home(), 7)
    again = lay_out_scoring(tmp_path / "two", home("2027-02-02T00:00:00+00:00", "zyxwvu"), 7)
    assert files_of(first.folder) == files_of(again.folder)
    assert set(files_of(first.folder)) == {
        "slimming.py", "code/entry.py", "bento/bento.yaml", "bento/src/roles.json",
        *(
            f"bento/models/churn/{digest[7:19]}/{name}"
            for digest in (DIGEST, OTHER) for name in ("model.yaml", "artifact/model.onnx")
        ),
    }  # fmt: skip


def test_another_user_may_read_the_models_which_are_their_owner_s_alone_in_the_store(home, tmp_path):
    folder = home()
    for path in (folder.bentoml / "models").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    laid_out = lay_out_scoring(tmp_path / "one", folder, 7).folder / "bento"
    assert {oct(path.stat().st_mode)[-3:] for path in laid_out.rglob("*")} == {"755", "644"}


def test_other_models_leave_the_layers_of_packages_and_code_as_they_are(home, tmp_path):
    def of_code(context):
        return {name: content for name, content in files_of(context.folder).items() if not name.startswith("bento/")}

    folder = home()
    first = lay_out_scoring(tmp_path / "one", folder, 7)
    alone = BentoRoles(gauntlet="1", champion=CHALLENGER)
    (folder.bento / "src" / "roles.json").write_bytes(dump_roles(alone))
    other = lay_out_scoring(tmp_path / "two", folder, 7)
    assert of_code(first) == of_code(other)
    assert files_of(first.folder) != files_of(other.folder)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layer_of_an_image_is_what_changes_most(kind):
    """Packages first: a layer that is the same as in the image before is neither pushed nor pulled."""
    (_, last) = (HERE / f"{kind}.Dockerfile").read_text().split("\nFROM ${BASE}\n")
    copied = [line.split()[-1] for line in last.splitlines() if line.startswith("COPY")]
    assert copied == ["/opt/gauntlet", "/app", "/app/bento"][: 2 if kind == "jobs" else 3]


def test_the_labels_name_models_and_blessings(home, tmp_path):
    assert lay_out_scoring(tmp_path / "one", home(), 7).labels == {
        "gauntlet.champion": DIGEST,
        "gauntlet.challengers": OTHER,
        "gauntlet.blessings": CHAMPION.blessing,
        "gauntlet.shadow-only": OTHER,
    }


def test_insight_is_laid_out_of_its_own_bento_with_the_same_models(home, tmp_path):
    folder = home()
    explaining = folder.path / "bentoml" / "bentos" / "gauntlet-insight"
    shutil.copytree(folder.bento.resolve(), explaining)
    (explaining / "src" / "explains.py").touch()
    folder.insight_bento.unlink()
    folder.insight_bento.symlink_to(explaining)
    scoring, insight = lay_out_scoring(tmp_path / "one", folder, 7), lay_out_insight(tmp_path / "two", folder, 7)
    assert set(files_of(insight.folder)) - set(files_of(scoring.folder)) == {"code/explains.py"}
    assert (insight.labels, insight.roles) == (scoring.labels, scoring.roles)
    assert (scoring.dockerfile.name, insight.dockerfile.name) == ("scoring.Dockerfile", "insight.Dockerfile")


@pytest.mark.parametrize("lay_out", [lay_out_scoring, lay_out_insight])
def test_without_a_bento_it_says_how_to_pack_one(lay_out, tmp_path):
    with pytest.raises(NotFound, match="pack the champion first: gauntlet package"):
        lay_out(tmp_path / "one", Folder(tmp_path / "nothing"), 7)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_has_steps_that_name_it_to_what_slims_it(kind):
    steps = (HERE / f"{kind}.Dockerfile").read_text()
    assert f"/app/installed.json {kind} " in steps
    assert kind in UNUSED


def test_the_jobs_image_holds_the_code_and_nothing_that_running_left(tmp_path):
    context = lay_out_jobs(tmp_path / "jobs")
    names = set(files_of(context.folder))
    assert {"gauntlet.py", "uv.lock", "validation/gate/run.py", "slimming.py"} <= names
    assert not any("__pycache__" in name or name.startswith(("tests/", ".")) for name in names)
    with pytest.raises(NotFound, match="images are built from a checkout"):
        lay_out_jobs(tmp_path / "none", checkout=tmp_path)


def test_what_nobody_reads_is_taken_out_and_the_rest_is_left(tmp_path):
    kept, gone = (
        ["a/__init__.py", "a/b.so", "a/data.json", "a/testing/t.py"],
        ["a/tests/t.py", "a/b.pyx", "a/c.h", "u/x.py"],
    )
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("12345678")
    assert remove_unread(tmp_path, ("u",)) == 8 * len(gone)
    assert sorted(files_of(tmp_path)) == sorted(kept)


def test_bytecode_is_made_of_what_is_imported_and_depends_on_no_date(tmp_path):
    packages = tmp_path / "env" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "used.py").write_text("value = {'b', 'a'}\n")
    (packages / "unused.py").write_text("")
    told = tmp_path / "installed.json"

    def slim():
        environment = {"PYTHONPATH": str(packages), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, SLIMMING, tmp_path / "env", told, "jobs", "used"]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        (compiled,) = (packages / "__pycache__").iterdir()
        return compiled.read_bytes()

    first = slim()
    (packages / "used.py").touch()
    assert slim() == first
    assert {one["kind"] for one in json.loads(told.read_text())} <= {"pypi", "deb"}


def test_what_is_installed_is_named_with_its_version():
    found = {one["name"].lower(): one["version"] for one in installed() if one["kind"] == "pypi"}
    assert found["pytest"] == pytest.__version__


def bill(**changes):
    roles = BentoRoles(gauntlet="1", champion=CHAMPION, challengers=(CHALLENGER,))
    packages = [Installed("pypi", "Jinja2", "3.1.6"), Installed("deb", "libc6", "2.36-9+deb12u9")]
    given = {
        "image": "shop:1",
        "image_id": IMAGE,
        "base": "python:3",
        "base_digest": OTHER,
        "roles": roles,
        "epoch": 7,
    }
    return make_bill(packages, **{**given, **changes})


def test_the_bill_is_cyclonedx_and_names_packages_models_and_base():
    content = bill()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None
    parts = {part["bom-ref"]: part for part in json.loads(content)["components"]}
    assert parts["pkg:pypi/jinja2@3.1.6"]["version"] == "3.1.6"
    assert parts["pkg:deb/debian/libc6@2.36-9%2Bdeb12u9"]["name"] == "libc6"
    assert parts[DIGEST]["type"] == "machine-learning-model"
    assert parts[DIGEST]["properties"] == [{"name": "gauntlet:blessing", "value": CHAMPION.blessing}]
    assert parts["base"]["hashes"][0]["content"] == "b" * 64


def test_the_same_content_gives_the_same_bill():
    assert bill() == bill()
    assert bill(roles=None) != bill()


@pytest.mark.parametrize("reference", ["shop", "shop:", ":1", "registry.example:5000/shop", "shop@sha256:1"])
def test_a_name_without_tag_is_refused_before_anything_is_built(reference, tmp_path):
    order = Order("jobs", reference, "python:3", tmp_path / "bill.json")
    with pytest.raises(InvalidSetting, match="must be NAME:TAG"):
        make_image(order, None, Folder(tmp_path), progress=lambda _: None)


@pytest.mark.parametrize(
    "reference",
    [
        "ghcr.io/MyOrg/gauntlet-jobs:abc", "MyOrg/jobs:1", "Jobs:1", "a b:1", "--help:1", "-a/b:1", "a//b:1", "/a:1",
        "a/:1", "a..b:1", "a/b_:1", "ghcr.io:port/a:1", "a:b c", "a:-b", "a:ü", "a:1\n", "shop:" + "1" * 129,
        "registry.example/" + "a" * 239 + ":1",
    ],
)  # fmt: skip
def test_what_no_registry_takes_as_a_name_is_refused_with_what_is_allowed(reference, tmp_path):
    with pytest.raises(InvalidSetting, match=r"^--tag is .*; it must be NAME:TAG, .* small letters") as refused:
        check_order(Order("jobs", reference, "python:3", tmp_path / "bill.json"))
    assert len(str(refused.value)) < 320


@pytest.mark.parametrize(
    "reference",
    [
        "shop:1", "docker.io/library/gauntlet-jobs:local", "localhost/a:1", "Registry.Example/shop/a__b.c--d:V1_x.y-z",
        "registry:5000/shop:1", "127.0.0.1:5000/shop:1", "[::1]:5000/shop:1", "here/shop/jobs:_1",
        "shop:" + "1" * 128, "registry.example/" + "a" * 238 + ":1",
    ],
)  # fmt: skip
def test_what_a_registry_takes_as_a_name_is_taken(reference, tmp_path):
    check_order(Order("jobs", reference, "python:3", tmp_path / "bill.json"))


def test_a_wrong_name_is_told_before_an_engine_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("bentos.images.engines.find_engine", lambda name: pytest.fail(f"looked for {name}"))
    done = CliRunner().invoke(image, ["jobs", "--tag", "a b:1", "--folder", str(tmp_path)])
    assert "--tag is 'a b:1'" in str(done.exception)


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("bill", "folder", "--sbom is .*folder, a folder; it must be a file"),
        ("archive", "folder", "--archive is .*folder, a folder; it must be a file"),
        ("archive", "file/image.tar", "--archive: .*file cannot be made"),
        ("release", "file", "--release: .*file cannot be made"),
    ],
)
def test_what_could_not_be_kept_is_refused_before_anything_is_built(option, given, said, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    places = {"bill": tmp_path / "bill.json", option: tmp_path / given}
    order = Order("jobs", "registry.example/shop:1", "python:3", is_pushed=True, **places)
    with pytest.raises(InvalidSetting, match=said):
        make_image(order, None, Folder(tmp_path), progress=lambda _: None)


def test_a_release_that_is_none_is_refused_before_anything_is_built(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("kind: Kustomization\n")
    order = Order(
        "jobs", "registry.example/shop:1", "python:3", tmp_path / "bill.json", is_pushed=True, release=tmp_path
    )
    with pytest.raises(BadInput, match="is no release"):
        make_image(order, None, Folder(tmp_path), progress=lambda _: None)


def test_where_the_group_of_packages_was_left_out_it_is_told_before_anything_is_built(monkeypatch, capsys):
    for module in ("bentos.images.bill", "bentos.images.making"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for module in [name for name in sys.modules if name.partition(".")[0] == "cyclonedx"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    monkeypatch.setattr(sys, "argv", ["gauntlet", "image", "jobs"])
    with pytest.raises(SystemExit) as ended:
        gauntlet.main()
    assert ended.value.code == 2
    assert "cyclonedx" in (said := capsys.readouterr().err)
    assert "run it with all of them: uv run --all-groups gauntlet" in said


def test_content_is_dated_by_the_packages_and_named_by_the_commit(tmp_path):
    def git(*arguments, when=0):
        settings = {f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        dates = {"GIT_AUTHOR_DATE": f"@{when} +0000", "GIT_COMMITTER_DATE": f"@{when} +0000"}
        command = ["git", "-C", tmp_path, *arguments]
        environment = {**os.environ, **settings, **dates}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    assert when_and_what(tmp_path) == (0, "")
    git("init", "--quiet")
    for name, when in (("uv.lock", 1_700_000_000), ("code.py", 1_800_000_000)):
        (tmp_path / name).touch()
        git("add", name)
        git("commit", "--quiet", "--message", name, when=when)
    head = git("rev-parse", "HEAD")
    assert when_and_what(tmp_path) == (1_700_000_000, head)
    (tmp_path / "code.py").write_text("changed")
    assert when_and_what(tmp_path) == (1_700_000_000, f"{head}+")
