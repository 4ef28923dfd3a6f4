"""How images come to the nodes: by what was said, by the cluster's name, and never by a guess."""

import pytest

from bentos.errors import InvalidSetting, NotFound, Refused, Unavailable
from k8s.delivering import delivery_of
from k8s.kubectl import Kubectl


@pytest.mark.parametrize(
    ("context", "command"),
    [
        ("kind-shop", "kind load image-archive {} --name shop"),
        ("k3d-shop", "k3d image import {} --cluster shop"),
        ("minikube", "minikube image load {}"),
    ],
)
def test_clusters_of_a_machine_are_known_by_their_contexts(context, command):
    assert delivery_of(context, loader=None, registry=None).loader == command


def test_a_command_may_say_where_the_archive_goes_or_gets_it_at_its_end():
    assert delivery_of("any", loader="load {} --all", registry=None).loader == "load {} --all"
    assert delivery_of("kind-shop", loader="load", registry=None).loader == "load {}"


def test_a_registry_gives_images_their_names():
    delivery = delivery_of("any", loader=None, registry="registry.example/team/")
    assert (delivery.name("jobs"), delivery.loader) == ("registry.example/team/gauntlet-jobs", None)
    assert delivery_of("minikube", loader=None, registry=None).name("jobs") == "docker.io/library/gauntlet-jobs"


def test_both_or_neither_is_asked_back():
    with pytest.raises(InvalidSetting, match="--load or --registry, not both"):
        delivery_of("any", loader="load", registry="registry.example")
    with pytest.raises(InvalidSetting, match="come to the nodes of production"):
        delivery_of("production", loader=None, registry=None)


def test_a_loader_that_fails_or_is_not_there_is_told(tmp_path):
    with pytest.raises(NotFound, match="no-such-program is not there"):
        delivery_of("any", loader="no-such-program", registry=None).load(tmp_path)
    with pytest.raises(Refused, match=r"cat .*missing.tar failed with exit code 1"):
        delivery_of("any", loader="cat", registry=None).load(tmp_path / "missing.tar")


def test_an_archive_whose_name_has_spaces_is_one_word(tmp_path):
    archive = tmp_path / "an image.tar"
    archive.write_text("x")
    delivery_of("any", loader=f"cp {{}} {tmp_path}/copy", registry=None).load(archive)
    assert (tmp_path / "copy").read_text() == "x"


def kubectl_that(tmp_path, monkeypatch, script):
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Kubectl("shop")


def test_kubectl_is_asked_in_the_namespace_and_given_what_it_reads(tmp_path, monkeypatch):
    kubectl = kubectl_that(tmp_path, monkeypatch, 'echo "$@"; cat')
    assert kubectl("create", "-f", "-", given="a manifest") == "--namespace shop create -f -\na manifest"


def test_what_kubectl_refuses_is_told_in_its_last_words(tmp_path, monkeypatch):
    kubectl = kubectl_that(tmp_path, monkeypatch, "echo forbidden >&2; exit 1")
    with pytest.raises(Refused, match=r"kubectl --namespace shop get pods failed with exit code 1:\nforbidden"):
        kubectl("get", "pods")


def test_a_forward_is_ended_with_its_block_and_one_that_fails_is_told(tmp_path, monkeypatch):
    script = f"echo $$ > {tmp_path}/pid; echo 'Forwarding from 127.0.0.1:4711 -> 5000'; exec sleep 60"
    with kubectl_that(tmp_path, monkeypatch, script).forward("service/mlflow", 5000) as url:
        assert url == "http://127.0.0.1:4711"
    refusing = kubectl_that(tmp_path, monkeypatch, "echo error: not found >&2; exit 1")
    with pytest.raises(Unavailable, match="port-forward service/nobody 1: error: not found"):
        refusing.forward("service/nobody", 1).__enter__()


def test_without_kubectl_it_is_said_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFound, match="kubectl is not installed"):
        Kubectl("shop")("get", "pods")
