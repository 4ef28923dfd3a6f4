"""How the demo makes an installation: what it refuses to touch, and the overlay that it applies."""

import json
import shutil
import subprocess

import pytest
import yaml

from bentos.errors import InvalidSetting, Unavailable
from bentos.folder import Folder
from k8s.delivering import Delivery
from k8s.running import Ran
from service.demo.installing import Installing


class FakeKubectl:
    """Answers `get` from what it is given, and remembers the rest."""

    namespace = "shop"

    def __init__(self, *, namespaces=(), ingresses=()):
        self.found = {"namespaces": list(namespaces), "ingresses": list(ingresses)}
        self.called = []

    def context(self):
        return "kind-shop"

    def __call__(self, *arguments, given=None):
        if arguments[0] == "get":
            return json.dumps({"items": self.found[arguments[1]]})
        self.called.append(" ".join(map(str, arguments[:3])))
        return ""


def installing(tmp_path, kubectl, delivery=None):
    delivery = delivery or Delivery(loader="load {}")
    (tmp_path / "data").mkdir(exist_ok=True)
    return Installing(
        kubectl, folder=Folder(tmp_path), delivery=delivery, engine=None, build_options=(), ingress="http://127.0.0.1/"
    )


def namespace(**labels):
    return {"metadata": {"name": "shop", "labels": labels}}


def ingress(where):
    return {"metadata": {"namespace": where}, "spec": {"rules": [{"host": "gauntlet.localhost"}]}}


def test_an_earlier_demo_makes_room_and_nothing_else_is_deleted(tmp_path):
    earlier = FakeKubectl(namespaces=[namespace(**{"gauntlet.dev/demo": "true"})], ingresses=[ingress("shop")])
    installing(tmp_path, earlier).check()
    assert earlier.called == ["delete namespace shop"]
    nothing = FakeKubectl()
    installing(tmp_path, nothing).check()
    assert nothing.called == []


def test_a_namespace_of_somebody_else_is_refused(tmp_path):
    other = FakeKubectl(namespaces=[namespace(team="crm")])
    with pytest.raises(InvalidSetting, match="namespace shop is there, and no demo made it"):
        installing(tmp_path, other).check()
    assert other.called == []


def test_two_that_answer_at_one_host_are_refused(tmp_path):
    other = FakeKubectl(ingresses=[ingress("gauntlet")])
    with pytest.raises(InvalidSetting, match=r"namespace gauntlet answers at gauntlet\.localhost already"):
        installing(tmp_path, other).check()


def test_data_that_no_configmap_holds_is_refused_with_both_sizes(tmp_path):
    with pytest.raises(InvalidSetting, match="takes 2,000,000 bytes as Parquet, and a ConfigMap has room for 900,000"):
        installing(tmp_path, FakeKubectl()).hand_over_data("history.parquet", b"x" * 2_000_000)


def test_the_key_is_for_its_owners_eyes_alone(tmp_path):
    making = installing(tmp_path, FakeKubectl())
    policy = tmp_path / "demo.yaml"
    policy.write_text("name: demo\n")
    making.install(policy=policy, scoring={})
    assert making.key_file.stat().st_mode & 0o077 == 0
    assert making.door().headers["authorization"] == f"Bearer {making.key_file.read_text().strip()}"
    assert str(making.door()) == "http://gauntlet.localhost"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders the overlay, is not installed")
@pytest.mark.parametrize(
    ("delivery", "name"),
    [
        (Delivery(loader="load {}"), "docker.io/library/gauntlet-scoring:tag"),
        (Delivery(registry="registry.example/team"), "registry.example/team/gauntlet-scoring:tag"),
    ],
)
def test_the_overlay_renders_with_image_policy_setting_and_label(tmp_path, delivery, name):
    making = installing(tmp_path, FakeKubectl(), delivery)
    policy = tmp_path / "demo.yaml"
    policy.write_text("name: demo\n")
    making.install(policy=policy, scoring={"GAUNTLET_OBSERVED_AHEAD_SECONDS": "9"})
    making.roll_out("tag")
    done = subprocess.run(["kubectl", "kustomize", making.overlay], capture_output=True, text=True, check=True)
    found = {(m["kind"], m["metadata"]["name"]): m for m in yaml.safe_load_all(done.stdout)}
    assert found["Namespace", "shop"]["metadata"]["labels"]["gauntlet.dev/demo"] == "true"
    assert found["ConfigMap", "gauntlet-policy"]["data"] == {"policy.yaml": "name: demo\n"}
    spec = found["Deployment", "gauntlet"]["spec"]
    (scoring,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], scoring["image"]) == (2, name)
    assert {"name": "GAUNTLET_OBSERVED_AHEAD_SECONDS", "value": "9"} in scoring["env"]
    assert found["CronJob", "train"]["metadata"]["namespace"] == "shop"


def test_a_result_is_found_among_what_libraries_say():
    said = 'a warning {of no meaning}\n{\n  "verdict": "PASS"\n}\nnext: something\n'
    assert Ran("gate-1", 0, said, "PASS", ()).result() == {"verdict": "PASS"}


def test_a_job_without_a_result_is_told_in_its_last_words():
    with pytest.raises(Unavailable, match="gate-1 ended with exit code 3: ERROR: no such model"):
        Ran("gate-1", 3, "a traceback\n", "ERROR: no such model", ()).result()
