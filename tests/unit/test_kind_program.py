"""`.ci/kind`, with stand-ins for what it calls; PATH holds nothing else, so that nothing of this machine is touched."""

import re
import shutil
import subprocess

import pytest
import yaml
from ci_toys import ROOT, SAID, lay_out, put, run, said

NODE = "gauntlet-tests-control-plane"
TOOLS = (
    "basename",
    "bash",
    "cat",
    "cut",
    "dirname",
    "env",
    "grep",
    "mkdir",
    "mktemp",
    "rm",
    "sed",
    "sort",
    "touch",
)
STATE = ".local/state/gauntlet-kind"
DIGEST = f"sha256:{'1' * 64}"
PYTHON = "docker.io/library/python:3.11-slim"

DOCKER = f"""{SAID}
case "$*" in
    inspect*) [ -e "$HOME/node" ] || exit 1 ;;&
    *kind.IPAddress*) echo 172.18.0.2 ;;
    *kind.Gateway*) echo 172.18.0.1 ;;
    "exec -i "*) cat > "$HOME/written" ;;
    *" images list --quiet") cut -d " " -f 1 "$HOME/images" ;;
    *" images list") echo "REF TYPE DIGEST SIZE PLATFORMS LABELS"; cat "$HOME/images" ;;
    *" crictl pull "*) echo "$5 index {DIGEST} 1MiB linux/amd64 -" >> "$HOME/images" ;;
esac
"""
KIND = f"""{SAID}
case "$1 $2" in
    "version --quiet") echo "${{KIND_VERSION:-0.33.0}}" ;;
    "create cluster") cat > "$HOME/config.yaml"; touch "$HOME/node"; exit "${{CREATED:-0}}" ;;
    "delete cluster") rm -f "$HOME/node" ;;
esac
"""
KUBECTL = f"""{SAID}
exit "${{READY:-0}}"
"""
HELM = f"""{SAID}
cat > "$HOME/$3.yaml"
"""
IP = f"""{SAID}
case "$2" in
    show) ! grep -F "$3 via" "$HOME/routes" 2> /dev/null || exit 0 ;;
    replace) echo "$3 via $5 dev br-0" >> "$HOME/routes" ;;
    del) rm -f "$HOME/routes" ;;
esac
"""
SUDO = f"""{SAID}
"$@"
"""
BUILDAH = f"""{SAID}
case "$1" in
    inspect) [ -e "$HOME/pulled" ] ;;
    pull) touch "$HOME/pulled" ;;
    push) archive=${{3#docker-archive:}}; touch "${{archive%%:*}}" ;;
esac
"""
STAND_INS = {
    "docker": DOCKER, "kind": KIND, "kubectl": KUBECTL, "helm": HELM, "ip": IP, "sudo": SUDO, "buildah": BUILDAH,
    "id": "#!/usr/bin/env bash\necho 1000\n",
}  # fmt: skip


@pytest.fixture
def checkout(tmp_path):
    """`.ci`, the manifests of components, and a cluster's images."""
    lay_out(tmp_path)
    shutil.copytree(ROOT / "k8s" / "components", tmp_path / "k8s" / "components")
    for name in TOOLS:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    for name, content in STAND_INS.items():
        put(tmp_path / "bin" / name, content)
    (tmp_path / "images").write_text("")
    return tmp_path


def kind(checkout, *words, **environment):
    return run(checkout, ".ci/kind", *words, PATH=str(checkout / "bin"), **environment)


def asked_of(checkout, *words, **environment):
    """What a command that went well asked of other programs."""
    before = len(said(checkout))
    done = kind(checkout, *words, **environment)
    assert done.returncode == 0, done.stderr
    return said(checkout)[before:]


def config_of(checkout):
    """What kind was told: its node, and the patches by kind."""
    content = yaml.safe_load((checkout / "config.yaml").read_text())
    (node,) = content["nodes"]
    patches = [yaml.safe_load(patch) for patch in node["kubeadmConfigPatches"]]
    return content, node, {patch["kind"]: patch for patch in patches}


def test_up_makes_a_cluster_with_what_the_tests_stand_on(checkout):
    asked = asked_of(checkout, "up")
    kubeconfig = checkout / STATE / "kubeconfig"
    assert f"kind create cluster --name gauntlet-tests --kubeconfig {kubeconfig} --wait 300s --config -" in asked
    content, node, patches = config_of(checkout)
    assert content["networking"] == {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/16"}
    assert re.fullmatch(r"kindest/node:v1\.\d+\.\d+@sha256:[0-9a-f]{64}", node["image"])
    ports = {(one["containerPort"], one["hostPort"], one["listenAddress"]) for one in node["extraPortMappings"]}
    assert ports == {(80, 80, "127.0.0.1"), (443, 443, "127.0.0.1")}
    assert patches["KubeletConfiguration"]["syncFrequency"] == "5s"
    manager = patches["ClusterConfiguration"]["controllerManager"]["extraArgs"]
    assert manager == {"horizontal-pod-autoscaler-sync-period": "5s"}
    for subnet in ("10.244.0.0/16", "10.96.0.0/16"):
        assert f"sudo ip route replace {subnet} via 172.18.0.2" in asked


def test_the_audit_log_is_beside_the_kubeconfig_and_readable(checkout):
    asked_of(checkout, "up")
    state = checkout / STATE
    _, node, patches = config_of(checkout)
    mounts = {one["hostPath"]: one["containerPath"] for one in node["extraMounts"]}
    server = patches["ClusterConfiguration"]["apiServer"]
    seen = {one["hostPath"]: one["mountPath"] for one in server["extraVolumes"]}
    for flag, file in (
        ("audit-log-path", state / "log" / "audit.log"),
        ("audit-policy-file", state / "audit-policy.yaml"),
    ):
        (inside,) = [
            seen[there] + str(file).removeprefix(here) for here, there in mounts.items() if str(file).startswith(here)
        ]
        assert server["extraArgs"][flag] == inside
    assert (state / "log" / "audit.log").is_file()  # before the API server makes it as root
    rules = yaml.safe_load((state / "audit-policy.yaml").read_text())["rules"]
    assert rules[-1] == {"level": "Metadata"}


def test_the_ingress_and_the_gateway_answer_at_the_machines_ports(checkout):
    asked = asked_of(checkout, "up")
    (line,) = [line for line in asked if line.startswith("helm upgrade --install traefik traefik ")]
    assert re.search(r"--version \d+\.\d+\.\d+ .*--namespace traefik --create-namespace --wait", line)
    values = yaml.safe_load((checkout / "traefik.yaml").read_text())
    assert values["ports"] == {"web": {"port": 80, "hostPort": 80}, "websecure": {"port": 443, "hostPort": 443}}
    assert values["ingressClass"] == {"enabled": True, "isDefaultClass": True, "name": "traefik"}
    assert values["gatewayClass"] == {"enabled": True, "name": "traefik"}
    assert values["providers"]["kubernetesGateway"]["enabled"]


def test_metrics_are_ten_seconds_old_at_most(checkout):
    asked = asked_of(checkout, "up")
    (line,) = [line for line in asked if line.startswith("helm upgrade --install metrics-server metrics-server ")]
    assert re.search(r"--version \d+\.\d+\.\d+ .*--namespace kube-system", line)
    assert yaml.safe_load((checkout / "metrics-server.yaml").read_text()) == {
        "args": ["--kubelet-insecure-tls", "--metric-resolution=10s"]
    }


def test_the_second_time_it_is_up_at_once(checkout):
    asked_of(checkout, "up")
    asked = asked_of(checkout, "up")
    assert [line.split()[0] for line in asked] == ["kubectl", "docker", "ip", "ip"]


def test_routes_that_went_with_a_restart_are_set_again(checkout):
    asked_of(checkout, "up")
    (checkout / "routes").unlink()
    asked = asked_of(checkout, "up")
    assert sum(line.startswith("sudo ip route replace") for line in asked) == 2
    assert not any(line.startswith(("kind create", "helm")) for line in asked)


def test_a_cluster_that_does_not_answer_is_made_anew(checkout):
    asked_of(checkout, "up")
    asked = asked_of(checkout, "up", READY="1")
    made = [line.split()[1] for line in asked if line.startswith("kind ")]
    assert made == ["version", "delete", "create"]


def test_what_was_begun_and_not_finished_is_begun_again(checkout):
    assert kind(checkout, "up", CREATED="1").returncode == 1
    assert any(line.startswith("kind create") for line in asked_of(checkout, "up"))


@pytest.mark.parametrize(("has_go", "version", "fetched"), [(1, "0.26.0", 1), (1, "0.33.0", 0), (0, "0.26.0", 0)])
def test_the_nodes_own_kind_is_fetched_where_go_is(checkout, has_go, version, fetched):
    if has_go:
        put(checkout / "bin" / "go", SAID + 'echo "into $GOBIN" >> "$SAID"\n')
    asked = asked_of(checkout, "up", KIND_VERSION=version)
    assert ("go install sigs.k8s.io/kind@v0.33.0" in asked) == bool(fetched)
    assert (f"into {checkout}/.cache/gauntlet-tools" in asked) == bool(fetched)


def test_a_registry_of_this_machine_is_taken_without_https(checkout):
    asked = asked_of(checkout, "up")
    place = "/etc/containerd/certs.d/172.18.0.1:5001"
    assert f"docker exec -i {NODE} sh -c mkdir -p {place} && cat > {place}/hosts.toml" in asked
    assert (checkout / "written").read_text() == '[host."http://172.18.0.1:5001"]\n'
    assert "GAUNTLET_CLUSTER_REGISTRY=172.18.0.1:5001" in kind(checkout, "env").stdout


def test_the_environment_is_one_line_for_a_shell_and_for_the_tests(checkout):
    asked_of(checkout, "up")
    printed = kind(checkout, "env").stdout
    assert printed.count("\n") == 1
    exports = dict(re.findall(r"(\w+)=(\S+)", printed))  # as tests/cluster/cluster_tools.py reads it
    assert exports == {
        "KUBECONFIG": f"{checkout}/{STATE}/kubeconfig",
        "PATH": f"{checkout}/.cache/gauntlet-tools:$PATH",
        "GAUNTLET_CLUSTER_MACHINE": "172.18.0.1",
        "GAUNTLET_CLUSTER_REGISTRY": "172.18.0.1:5001",
    }
    shell = f'{printed}echo "$PATH $KUBECONFIG"'
    told = subprocess.run(
        ["bash", "-c", shell], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [exports["PATH"].replace("$PATH", "/usr/bin:/bin"), exports["KUBECONFIG"]]


def test_without_a_cluster_there_is_no_environment(checkout):
    done = kind(checkout, "env")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no cluster: .ci/kind up" in done.stderr


def test_what_is_loaded_has_a_name_by_digest_too(checkout):
    (checkout / "images").write_text(
        f"docker.io/library/shop:1 manifest {DIGEST} 1MiB linux/amd64 -\n"
        f"docker.io/library/old:1 manifest {DIGEST} 1MiB linux/amd64 -\n"
        f"docker.io/library/old@{DIGEST} manifest {DIGEST} 1MiB linux/amd64 -\n"
        f"import-2026-01-01@{DIGEST} manifest {DIGEST} 1MiB linux/amd64 -\n"
        f"sha256:{'2' * 64} manifest {DIGEST} 1MiB linux/amd64 -\n"
    )
    asked = asked_of(checkout, "load", "one.tar", "two.tar")
    assert asked[0] == "kind load image-archive --name gauntlet-tests one.tar two.tar"
    assert [line for line in asked if " images tag " in line] == [
        f"docker exec {NODE} ctr --namespace k8s.io images tag docker.io/library/shop:1 docker.io/library/shop@{DIGEST}"
    ]


def test_ctr_is_the_nodes_own(checkout):
    asked = asked_of(checkout, "ctr", "tasks", "kill", "--signal", "SIGKILL", "0123")
    assert asked == [f"docker exec {NODE} ctr --namespace k8s.io tasks kill --signal SIGKILL 0123"]


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("shop:1", "docker.io/library/shop:1"),
        ("some/shop:1", "docker.io/some/shop:1"),
        ("ghcr.io/some/shop:1", "ghcr.io/some/shop:1"),
        ("localhost/shop:1", "localhost/shop:1"),
    ],
)
def test_an_image_is_built_under_the_name_that_the_cluster_completes(checkout, given, full):
    asked = asked_of(checkout, "build-image", "context", "-f", "some/Dockerfile", "-t", given)
    assert asked == [
        f"buildah build --format=docker --pull=missing --layers --file some/Dockerfile --tag {full} context"
    ]


def test_an_image_that_was_built_is_loaded_where_that_is_asked_and_its_archive_is_gone(checkout):
    asked = asked_of(checkout, "build-image", "context", "-f", "Dockerfile", "-t", "shop:1", "--load")
    (pushed,) = [
        re.fullmatch(r"buildah push \S+ docker-archive:(\S+?):docker.io/library/shop:1", line) for line in asked[1:2]
    ]
    assert asked[2] == f"kind load image-archive --name gauntlet-tests {pushed[1]}"
    assert not (checkout / pushed[1]).exists()


def test_base_images_are_those_of_the_manifests_and_are_pulled_once(checkout):
    asked = asked_of(checkout, "base-images")
    pulled = [line.split()[-1] for line in asked if " pull " in line]
    components = (ROOT / "k8s" / "components").rglob("*.yaml")
    named = {f"docker.io/{name}" for file in components for name in re.findall(r"image: (prom/\S+)", file.read_text())}
    installing = (ROOT / "tests" / "cluster" / "installing.py").read_text()
    postgres = re.search(r'^POSTGRES = "(\w+)"$', installing, re.MULTILINE)[1]
    assert len(named) == 2
    assert sorted(pulled) == sorted({PYTHON, f"docker.io/library/postgres:{postgres}", *named})
    assert not any(" pull " in line for line in asked_of(checkout, "base-images"))


def test_down_leaves_nothing(checkout):
    asked_of(checkout, "up")
    asked = asked_of(checkout, "down")
    assert any(line.startswith("kind delete cluster --name gauntlet-tests ") for line in asked)
    assert "sudo ip route del 10.244.0.0/16" in asked
    assert not (checkout / STATE).exists()
    assert not (checkout / "routes").exists()


@pytest.mark.parametrize(
    ("words", "missing", "how"),
    [
        (["up"], "docker", "https://docs.docker.com/"),
        (["up"], "kind", "go install sigs.k8s.io/kind@v"),
        (["up"], "kubectl", "https://kubernetes.io/docs/tasks/tools"),
        (["up"], "helm", "https://helm.sh/docs/intro/install"),
        (["up"], "ip", "apt-get install iproute2"),
        (["base-images"], "buildah", "apt-get install buildah"),
    ],
)
def test_a_program_that_is_missing_is_named_with_the_way_to_get_it(checkout, words, missing, how):
    (checkout / "bin" / missing).unlink()
    done = kind(checkout, *words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{missing} is not installed")
    assert how in done.stderr
    assert [line for line in said(checkout) if line != "kind version --quiet"] == []


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["up", "now"],
        ["down", "--all"],
        ["env", "x"],
        ["load"],
        ["ctr"],
        ["build-image"],
        ["build-image", "context", "-f", "Dockerfile"],
        ["build-image", "one", "two", "-f", "Dockerfile", "-t", "shop:1"],
        ["build-image", "context", "-f", "Dockerfile", "-t", "shop:1", "--push"],
        ["build-image", "context", "-f", "Dockerfile", "-t"],
    ],
)
def test_wrong_arguments_are_told_how_it_is_used(checkout, words):
    done = kind(checkout, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage:\n  .ci/kind up ")
    assert said(checkout) == []
