"""What every rendered overlay must keep to, with each component too, whatever else changes in it."""

from __future__ import annotations

import re

import pytest
from renderings import (
    KUBECTL,
    LOCAL,
    OVERLAYS,
    RENDERINGS,
    ROOT,
    Manifest,
    containers,
    is_local,
    matching,
    named,
    of_kind,
    one,
    pods,
    rendered,
    template_of,
)

from bentos.errors import InvalidExperiment
from k8s.secrets import TRUST_KEY, TRUST_REVOKED, make_secrets
from service.scoring.experiment import parse_experiment

LOGS_MEBIBYTES = 100
"""What a kubelet keeps of a container's output, at most: five files of 10 MiB, and their successors."""
IMAGES = ROOT / "bentos" / "images"
YOURS = {"gauntlet-on-pass", "gauntlet-groq"}
"""Secrets that only you can make; their component says how."""

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl, which renders the manifests, is not installed")


@pytest.fixture(params=RENDERINGS)
def overlay(request: pytest.FixtureRequest) -> str:
    rendering: str = request.param
    return rendering


def test_an_overlay_holds_the_names_that_others_rely_on(overlay: str) -> None:
    there = {named(manifest) for manifest in rendered(overlay)}
    assert {
        "Namespace/gauntlet",
        "Deployment/gauntlet",
        "Deployment/gauntlet-judge",
        "HorizontalPodAutoscaler/gauntlet",
        "PodDisruptionBudget/gauntlet",
        "ConfigMap/gauntlet-policy",
        "ConfigMap/gauntlet-store",
        "ConfigMap/gauntlet-tracking",
        "Service/gauntlet",
        "Service/gauntlet-admin",
        "CronJob/train",
        "CronJob/gate",
        "CronJob/retrain",
        "CronJob/promote",
        "CronJob/rollback",
    } <= there


def test_everything_lies_in_the_namespace(overlay: str) -> None:
    outside = [named(m) for m in rendered(overlay) if m["metadata"].get("namespace", "gauntlet") != "gauntlet"]
    unplaced = [named(m) for m in rendered(overlay) if m["kind"] != "Namespace" and "namespace" not in m["metadata"]]
    assert not outside + unplaced


def test_scoring_pods_carry_the_labels_by_which_they_are_found(overlay: str) -> None:
    template = template_of(overlay, "Deployment", "gauntlet")
    labels = template["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "gauntlet"
    assert labels["app.kubernetes.io/component"] == "scoring"


def test_no_overlay_holds_the_experiment(overlay: str) -> None:
    """An apply would reset a running experiment."""
    assert "ConfigMap/gauntlet-experiment" not in {named(manifest) for manifest in rendered(overlay)}


def test_deployments_select_their_own_pods_and_no_others(overlay: str) -> None:
    for manifest, template in pods(overlay):
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            wanted = manifest["spec"]["selector"]["matchLabels"]
            assert matching(overlay, wanted) == [named(manifest)], f"{named(manifest)} selects {wanted}"
            assert template["metadata"]["labels"].items() >= wanted.items()


def test_services_select_one_workload_and_name_a_port_of_it(overlay: str) -> None:
    for service in (m for m in rendered(overlay) if m["kind"] == "Service"):
        found = matching(overlay, service["spec"]["selector"])
        assert len(found) == 1, f"{named(service)} selects {found}"
        kind, _, name = found[0].partition("/")
        template = template_of(overlay, kind, name)
        ports = {port["name"] for c in template["spec"]["containers"] for port in c.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_local_overlay_answers_at_gauntlet_localhost() -> None:
    rules = one(LOCAL, "Ingress", "gauntlet")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["gauntlet.localhost"]


def test_images_come_by_digest_where_there_is_a_registry(overlay: str) -> None:
    if not is_local(overlay):
        for manifest, container in containers(overlay):
            assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"]), f"{named(manifest)}: {container['image']}"


def test_images_are_named_and_never_latest(overlay: str) -> None:
    for manifest, container in containers(overlay):
        name, _, tag = container["image"].rpartition(":")
        assert name, f"{named(manifest)}: {container['image']} has no tag"
        assert tag not in ("latest", "named-by-overlay"), f"{named(manifest)}: {container['image']}"
        assert container.get("imagePullPolicy", "IfNotPresent") != "Always"


def test_every_container_says_what_it_needs(overlay: str) -> None:
    for manifest, container in containers(overlay):
        for bound in ("requests", "limits"):
            assert container["resources"][bound].keys() >= {"cpu", "memory", "ephemeral-storage"}, (
                f"{named(manifest)}: {bound}"
            )


MEBIBYTES = {"Mi": 1, "Gi": 1024}


def mebibytes(text: str) -> int:
    return int(text[:-2]) * MEBIBYTES[text[-2:]]


def test_a_pod_may_use_the_disk_that_its_volumes_may_take(overlay: str) -> None:
    """All of it counts together, and a pod beyond what its containers are allowed is evicted."""
    for manifest, template in pods(overlay):
        spec = template["spec"]
        allowed = [c["resources"]["limits"]["ephemeral-storage"] for c in spec["containers"]]
        allowed += [
            c["resources"]["limits"]["ephemeral-storage"]
            for c in spec.get("initContainers", [])
            if c.get("restartPolicy") == "Always"
        ]
        volumes = [
            volume["emptyDir"]["sizeLimit"]
            for volume in spec.get("volumes", [])
            if volume.get("emptyDir") and volume["emptyDir"].get("medium") != "Memory"
        ]
        assert sum(map(mebibytes, allowed)) > sum(map(mebibytes, volumes)) + LOGS_MEBIBYTES, named(manifest)


def test_every_container_that_serves_is_probed(overlay: str) -> None:
    for manifest, template in pods(overlay):
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            for container in template["spec"]["containers"]:
                assert container.keys() >= {"startupProbe", "livenessProbe", "readinessProbe"}, named(manifest)
            for container in template["spec"].get("initContainers", []):
                # A sidecar that has trouble with the store must not take the pod out of the Service; the others end.
                is_sidecar = container.get("restartPolicy") == "Always"
                assert not is_sidecar or container.keys() >= {"startupProbe", "livenessProbe"}, named(manifest)


def test_no_container_may_do_more_than_it_must(overlay: str) -> None:
    for manifest, container in containers(overlay):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True, named(manifest)
        assert security["allowPrivilegeEscalation"] is False, named(manifest)
        assert security["capabilities"] == {"drop": ["ALL"]}, named(manifest)


def test_every_pod_is_a_numbered_user_and_has_a_token_only_where_it_has_rights(overlay: str) -> None:
    accounts = {m["metadata"]["name"]: m for m in rendered(overlay) if m["kind"] == "ServiceAccount"}
    entitled = {subject["name"] for m in of_kind(overlay, "RoleBinding") for subject in m["subjects"]}
    for manifest, template in pods(overlay):
        spec = template["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, named(manifest)
        assert security["runAsUser"] > 0, named(manifest)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, named(manifest)
        assert spec["automountServiceAccountToken"] is (spec["serviceAccountName"] in entitled), named(manifest)
        assert accounts[spec["serviceAccountName"]]["automountServiceAccountToken"] is False, named(manifest)


def test_no_pod_gets_service_links(overlay: str) -> None:
    """For the Service `gauntlet` they would set GAUNTLET_PORT, which is a setting."""
    for manifest, template in pods(overlay):
        assert template["spec"]["enableServiceLinks"] is False, named(manifest)


def test_every_volume_on_the_node_is_bounded(overlay: str) -> None:
    for manifest, template in pods(overlay):
        for volume in template["spec"].get("volumes", []):
            assert "emptyDir" not in volume or volume["emptyDir"].get("sizeLimit"), f"{named(manifest)}: {volume}"


def test_the_experiment_is_mounted_as_a_directory_so_that_edits_follow(overlay: str) -> None:
    template = template_of(overlay, "Deployment", "gauntlet")
    container = template["spec"]["containers"][0]
    experiment = next(mount for mount in container["volumeMounts"] if mount["name"] == "experiment")
    assert "subPath" not in experiment
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert variables["GAUNTLET_EXPERIMENT_FILE"] == f"{experiment['mountPath']}/experiment.yaml"


def test_manifests_set_only_settings_that_exist(overlay: str) -> None:
    known = set(re.findall(r"GAUNTLET_\w+", re.sub(r"^[^|].*$", "", (ROOT / "README.md").read_text(), flags=re.M)))
    for manifest, container in containers(overlay):
        given = {variable["name"] for variable in container.get("env", [])}
        unknown = {name for name in given if name.startswith("GAUNTLET_")} - known
        assert not unknown, f"{named(manifest)} sets {unknown}"


def test_jobs_wait_to_be_asked_and_are_not_tried_again(overlay: str) -> None:
    for name in ("train", "gate", "retrain", "promote", "rollback"):
        cron = one(overlay, "CronJob", name)["spec"]
        assert cron["suspend"] is True
        assert cron["jobTemplate"]["spec"]["backoffLimit"] == 0
        ignored, failed = cron["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
        assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
        assert failed == {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [0]}}
        assert cron["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_the_experiment_is_one_configmap_whose_name_has_no_hash() -> None:
    (configmap,) = rendered("experiment")
    assert named(configmap) == "ConfigMap/gauntlet-experiment"
    assert configmap["metadata"]["namespace"] == "gauntlet"
    assert list(configmap["data"]) == ["experiment.yaml"]


def test_the_experiment_names_no_champion_until_someone_does() -> None:
    """Its form is right, so that filling in the digest is enough; as it stands it fits no artifact."""
    (configmap,) = rendered("experiment")
    experiment = parse_experiment(configmap["data"]["experiment.yaml"].encode())
    assert experiment.revision == 1
    assert experiment.mode == "off"
    assert experiment.challenger is None
    assert re.fullmatch(r"sha256:0{64}", experiment.champion)
    with pytest.raises(InvalidExperiment):
        parse_experiment(configmap["data"]["experiment.yaml"].replace("sha256:", "").encode())


@pytest.mark.parametrize("dockerfile", sorted(path.name for path in IMAGES.glob("*.Dockerfile")))
def test_images_run_as_a_numbered_user(dockerfile: str) -> None:
    """A name would need `runAsUser` in every manifest, as the kubelet cannot tell that it is not root."""
    users = re.findall(r"^USER (.+)$", (IMAGES / dockerfile).read_text(), re.MULTILINE)
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


def test_the_shipper_is_a_sidecar_on_the_spool_that_stops_after_scoring(overlay: str) -> None:
    template = template_of(overlay, "Deployment", "gauntlet")
    (shipper,) = template["spec"]["initContainers"]
    (scoring,) = template["spec"]["containers"]
    assert shipper["restartPolicy"] == "Always"
    mounts = [{m["name"]: m["mountPath"] for m in c["volumeMounts"]} for c in (shipper, scoring)]
    assert mounts[0]["spool"] == "/var/lib/gauntlet/spool"  # GAUNTLET_FOLDER of its image, and what lies in it
    variables = {variable["name"]: variable.get("value") for variable in scoring["env"]}
    assert variables["GAUNTLET_SPOOL_FOLDER"] == mounts[1]["spool"]


def test_the_spool_stays_below_what_its_volume_may_hold(overlay: str) -> None:
    """Beyond it the kubelet evicts the pod, with all that was not shipped."""
    template = template_of(overlay, "Deployment", "gauntlet")
    spool = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "spool")
    variables = {v["name"]: v.get("value") for v in template["spec"]["containers"][0]["env"]}
    room, pods_that_share = spool.get("emptyDir", {}).get("sizeLimit"), 1
    if room is None:
        claim = one(overlay, "PersistentVolumeClaim", spool["persistentVolumeClaim"]["claimName"])
        room = claim["spec"]["resources"]["requests"]["storage"]
        pods_that_share = one(overlay, "HorizontalPodAutoscaler", "gauntlet")["spec"]["maxReplicas"]
    limit = re.fullmatch(r"(\d+)Gi", room)
    assert limit is not None
    assert int(variables["GAUNTLET_SPOOL_LIMIT_BYTES"]) * pods_that_share < int(limit[1]) * 2**30


def test_an_apply_never_resets_the_autoscalers_number_of_replicas() -> None:
    """Overlays may say a number for a cluster without metrics; as they are shipped they say none."""
    for overlay in OVERLAYS:
        assert "replicas" not in one(overlay, "Deployment", "gauntlet")["spec"]


def test_everything_is_denied_but_what_a_policy_names(overlay: str) -> None:
    deny = one(overlay, "NetworkPolicy", "deny-all")["spec"]
    assert (deny["podSelector"], sorted(deny["policyTypes"])) == ({}, ["Egress", "Ingress"])
    assert "ingress" not in deny
    assert "egress" not in deny


def test_network_policies_speak_of_pods_and_ports_that_are_there(overlay: str) -> None:
    components = {t["metadata"]["labels"]["app.kubernetes.io/component"] for _, t in pods(overlay)}
    ports = {port["name"] for _, c in containers(overlay) for port in c.get("ports", [])}
    for policy in (m for m in rendered(overlay) if m["kind"] == "NetworkPolicy"):
        chosen = policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component")
        assert chosen is None or chosen in components, named(policy)
        named_ports = {
            port["port"]
            for rule in policy["spec"].get("ingress", [])
            for port in rule.get("ports", [])
            if isinstance(port["port"], str)
        }
        assert named_ports <= ports, named(policy)


def test_the_policy_in_the_configmap_is_the_shipped_one(overlay: str) -> None:
    shipped = (ROOT / "validation" / "policies" / "online.yaml").read_text()
    assert one(overlay, "ConfigMap", "gauntlet-policy")["data"]["policy.yaml"] == shipped


def test_no_manifest_holds_a_secret(overlay: str) -> None:
    assert not [named(m) for m in rendered(overlay) if m["kind"] == "Secret"]
    for manifest, container in containers(overlay):
        for variable in container.get("env", []):
            held = "value" in variable and re.search(r"PASSWORD|TOKEN|SECRET|API_KEY", variable["name"])
            assert not held or variable["name"].endswith("_FILE"), f"{named(manifest)}: {variable['name']}"


def test_secrets_that_pods_mount_are_those_that_the_command_makes(overlay: str) -> None:
    made, _ = make_secrets("gauntlet", "first")
    there = {(one["kind"], one["metadata"]["name"]): set(one["data"]) for one in made}
    for manifest, template in pods(overlay):
        for volume in template["spec"].get("volumes", []):
            if "secret" in volume:
                name = volume["secret"]["secretName"]
                assert ("Secret", name) in there or name in YOURS, named(manifest)
    assert there["ConfigMap", "gauntlet-trust"] == {"blessing.pub", "revocations.json"}


def test_the_gate_alone_gets_the_key_that_signs(overlay: str) -> None:
    """Not even the training that comes before it in the same pod."""
    holders = {
        (manifest["metadata"]["name"], container["name"])
        for manifest, template in pods(overlay)
        for volume in template["spec"].get("volumes", [])
        if volume.get("secret", {}).get("secretName") == "gauntlet-blessing-key"
        for container in template["spec"].get("initContainers", []) + template["spec"]["containers"]
        if volume["name"] in {mount["name"] for mount in container["volumeMounts"]}
    }
    assert holders == {("gate", "gate"), ("retrain", "gate")}


def test_scoring_asks_for_blessings_that_the_gates_key_signed(overlay: str) -> None:
    template = template_of(overlay, "Deployment", "gauntlet")
    (scoring,) = template["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in scoring["env"]}
    trust = next(mount["mountPath"] for mount in scoring["volumeMounts"] if mount["name"] == "trust")
    assert variables["GAUNTLET_PRODUCTION"] == "true"
    assert variables["GAUNTLET_BLESSING_PUBLIC_KEY_FILE"] == f"{trust}/{TRUST_KEY}"
    assert variables["GAUNTLET_REVOCATIONS_FILE"] == f"{trust}/{TRUST_REVOKED}"


def test_where_admission_is_enforced_the_deployment_says_what_is_asked_for(overlay: str) -> None:
    labels = one(overlay, "Namespace", "gauntlet")["metadata"]["labels"]
    template = template_of(overlay, "Deployment", "gauntlet")
    annotations = template["metadata"].get("annotations", {})
    is_enforced = labels.get("gauntlet.dev/admission") == "enforce"
    assert is_enforced != is_local(overlay)
    assert is_enforced == (annotations.keys() >= {"gauntlet.dev/champion", "gauntlet.dev/blessings"})


def in_cluster(kind: str, name: str) -> Manifest:
    return next(m for m in rendered("cluster") if (m["kind"], m["metadata"]["name"]) == (kind, name))


@pytest.mark.parametrize("name", ["gauntlet-scoring", "gauntlet-roles"])
def test_every_admission_policy_is_bound_and_denies(name: str) -> None:
    binding = in_cluster("ValidatingAdmissionPolicyBinding", name)
    policy = in_cluster("ValidatingAdmissionPolicy", name)
    assert binding["spec"]["policyName"] == name
    assert binding["spec"]["validationActions"] == ["Deny"]
    assert policy["spec"]["failurePolicy"] == "Fail"


def test_what_is_asked_of_scoring_holds_in_the_namespaces_that_ask_for_it() -> None:
    binding = in_cluster("ValidatingAdmissionPolicyBinding", "gauntlet-scoring")
    selector = binding["spec"]["matchResources"]["namespaceSelector"]
    assert selector == {"matchLabels": {"gauntlet.dev/admission": "enforce"}}
