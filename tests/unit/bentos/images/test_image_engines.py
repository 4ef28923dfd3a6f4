"""Builders of images, by programs that stand in for them: what each is told, and what becomes of its failures."""

import json
import os
import stat
from pathlib import Path

import pytest

from bentos.errors import InvalidSetting, Refused, Unavailable
from bentos.images.engines import Buildah, DockerLike, Wanted, find_engine

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Makes programs that note how they are called, and say and end as they are told; nothing else is on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name, body):
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "$0 $* epoch=$SOURCE_DATE_EPOCH" >> {tmp_path}/calls\n{body}\n')
        path.chmod(path.stat().st_mode | stat.S_IEXEC)

    for name in ("docker", "podman", "nerdctl", "buildah"):
        make(name, "echo no daemon >&2; exit 1")
    make.calls = lambda: (tmp_path / "calls").read_text().replace(f"{folder}/", "").splitlines()
    return make


def wanted(tmp_path, **changes):
    return Wanted(
        context=tmp_path,
        dockerfile=tmp_path / "D",
        reference="shop:1",
        arguments={"BASE": "python:3"},
        labels={"a": "b c"},
        epoch=7,
        **changes,
    )


def says(*images):
    return f"echo '{json.dumps(images)}'"


def test_the_first_that_can_build_is_taken_and_all_reasons_are_told_where_none_can(programs):
    with pytest.raises(Unavailable, match=r"here: docker: no daemon; podman: no .*; buildah: no daemon"):
        find_engine(None)
    programs("nerdctl", "exit 0")
    assert find_engine(None).name == "nerdctl"
    with pytest.raises(Unavailable, match="nothing builds images here: podman: no daemon"):
        find_engine("podman")
    with pytest.raises(InvalidSetting, match="no engine 'kaniko'; it must be one of docker, podman, nerdctl, buildah"):
        find_engine("kaniko")


def test_one_that_is_not_installed_is_told_as_such(programs, tmp_path):
    (tmp_path / "bin" / "podman").unlink()
    os.environ["PATH"] = str(tmp_path / "bin")
    assert DockerLike("podman").problem() == "not installed"


def test_docker_builds_with_buildx_where_it_is_and_dates_by_the_epoch(programs, tmp_path):
    programs("docker", says({"Id": DIGEST}))
    assert DockerLike("docker").build(wanted(tmp_path, further=("--network=host",))) == DIGEST
    build = next(call for call in programs.calls() if " build " in call)
    assert build == (
        "docker buildx build --provenance=false --sbom=false --output=type=docker,rewrite-timestamp=true "
        f"--file {tmp_path}/D --tag shop:1 --build-arg=BASE=python:3 --label=a=b c --network=host {tmp_path} epoch=7"
    )


def test_docker_without_buildx_builds_all_the_same(programs, tmp_path):
    programs("docker", f'[ "$1" = buildx ] && exit 1\n{says({"Id": DIGEST})}')
    assert DockerLike("docker").build(wanted(tmp_path)) == DIGEST
    assert any(call.startswith("docker build --file") for call in programs.calls())


def test_podman_and_buildah_are_given_the_date(programs, tmp_path):
    programs("podman", says({"Id": "a" * 64}))
    programs("buildah", f'[ "$1" = inspect ] && echo {"b" * 64}; exit 0')
    assert DockerLike("podman").build(wanted(tmp_path)) == DIGEST
    assert Buildah().build(wanted(tmp_path)) == OTHER
    assert sum("--timestamp=7" in call for call in programs.calls()) == 2


@pytest.mark.parametrize(
    ("image", "digest"),
    [
        ({"RepoDigests": [f"python@{DIGEST}"], "Id": OTHER}, DIGEST),
        ({"RepoDigests": [], "Digest": DIGEST, "Id": OTHER}, DIGEST),
        ({"RepoDigests": None, "Id": OTHER}, OTHER),
    ],
)
def test_a_base_is_named_by_its_repository_digest_or_where_it_has_none_by_its_own(programs, image, digest):
    programs("docker", says(image))
    assert DockerLike("docker").digest_of_base("python:3") == digest


def test_a_base_that_is_not_at_hand_is_pulled(programs, tmp_path):
    here = tmp_path / "here"
    found, there = says({"Id": DIGEST}), tmp_path / "there"
    programs("nerdctl", f'[ "$1" = pull ] && touch {here}\n[ "$1" != image ] || [ -e {here} ] || exit 1\n{found}')
    programs(
        "buildah", f'[ "$1" = pull ] && touch {there}\n[ "$1" != inspect ] || [ -e {there} ] || exit 1\necho {OTHER}'
    )
    assert DockerLike("nerdctl").digest_of_base("python:3") == DIGEST
    assert Buildah().digest_of_base("python:3") == OTHER
    assert [call for call in programs.calls() if " pull " in call] == [
        "nerdctl pull python:3 epoch=",
        "buildah pull python:3 epoch=",
    ]


def test_a_failed_build_ends_with_its_last_words(programs, tmp_path):
    programs("docker", '[ "$2" = version ] && exit 0\necho step 3\necho no space left >&2\nexit 17')
    with pytest.raises(Refused, match=r"docker buildx build failed with exit code 17:\nstep 3\nno space left"):
        DockerLike("docker").build(wanted(tmp_path))


def test_what_is_pushed_is_named_by_the_digest_that_the_registry_gave(programs):
    programs("docker", says({"RepoDigests": [f"elsewhere@{OTHER}", f"registry.example/shop@{DIGEST}"]}))
    programs("buildah", f'for one; do case $one in --digestfile=*) echo {OTHER} > "${{one#*=}}";; esac; done')
    assert DockerLike("docker").push("registry.example/shop:1") == DIGEST
    assert Buildah().push("registry.example/shop:1") == OTHER


def test_commands_run_as_root_without_network_and_containers_are_gone_afterwards(programs):
    programs("docker", "echo seen")
    programs("buildah", '[ "$1" != from ] || { echo c1; exit 0; }\n[ "$1" != run ] || { echo seen; exit 0; }')
    assert DockerLike("docker").run("shop:1", "cat", "/a") == "seen\n"
    assert Buildah().run("shop:1", "cat", "/a") == "seen\n"
    assert programs.calls()[0] == "docker run --rm --user=0 --network=none --entrypoint=cat shop:1 /a epoch="
    assert programs.calls()[-1] == "buildah rm c1 epoch="


def test_an_archive_replaces_an_earlier_one(programs, tmp_path):
    archive = tmp_path / "image.tar"
    archive.write_text("old")
    programs("buildah", f"[ -e {archive} ] && exit 1; echo new > {archive}")
    Buildah().save("shop:1", archive)
    assert archive.read_text() == "new\n"
    assert Path(archive).is_file()
