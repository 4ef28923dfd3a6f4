"""The component spool-durable: each pod's spool in a folder of its own on one volume, and a Job that sees them all."""

from __future__ import annotations

import pytest
from renderings import KUBECTL, LOCAL, Manifest, containers_in, one, template_of

import gauntlet
from service.prediction_log import shipper

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl, which renders the manifests, is not installed")

RENDERING = f"{LOCAL} with spool-durable"


def spool_mount(container: Manifest) -> Manifest:
    mount: Manifest = next(mount for mount in container["volumeMounts"] if mount["name"] == "spool")
    return mount


def spool_volume(template: Manifest) -> Manifest:
    volume: Manifest = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "spool")
    return volume


def test_scoring_and_its_shipper_share_the_folder_of_their_pod_and_see_no_other() -> None:
    template = template_of(RENDERING, "Deployment", "gauntlet")
    assert spool_volume(template) == {"name": "spool", "persistentVolumeClaim": {"claimName": "gauntlet-spool"}}
    for container in containers_in(template):
        assert spool_mount(container)["subPathExpr"] == "$(POD_NAME)", container["name"]
        variables = {variable["name"]: variable for variable in container["env"]}
        assert variables["POD_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}, container["name"]


def test_what_was_answered_is_on_the_storage() -> None:
    """Otherwise a node takes along what its kernel had not sent there yet."""
    (scoring,) = template_of(RENDERING, "Deployment", "gauntlet")["spec"]["containers"]
    assert {"name": "GAUNTLET_SPOOL_FSYNC", "value": "always"} in scoring["env"]


def test_the_job_has_the_whole_volume_and_ships_by_the_same_user_and_key_as_the_shippers() -> None:
    template = template_of(RENDERING, "CronJob", "ship-orphans")
    (container,) = template["spec"]["containers"]
    pod = template_of(RENDERING, "Deployment", "gauntlet")["spec"]
    (beside,) = pod["initContainers"]
    assert spool_volume(template) == spool_volume({"spec": pod})
    assert spool_mount(container) == {"name": "spool", "mountPath": spool_mount(beside)["mountPath"]}
    assert template["spec"]["securityContext"] == pod["securityContext"]
    given = [
        [v for v in one["env"] if v["name"].startswith(("GAUNTLET_STORE", "GAUNTLET_TOMB"))]
        for one in (container, beside)
    ]
    assert given[0] == given[1] != []


def settings_of(container: Manifest) -> list[Manifest]:
    """By which a shipper finds the store, and knows again who was forgotten."""
    return [v for v in container["env"] if v["name"].startswith(("GAUNTLET_STORE_", "GAUNTLET_TOMBSTONE_"))]


def test_the_job_watches_for_longer_than_a_live_shipper_pauses() -> None:
    (container,) = template_of(RENDERING, "CronJob", "ship-orphans")["spec"]["containers"]
    name, *arguments = container["args"]
    asked = gauntlet.cli.commands[name].make_context(name, arguments).params
    assert asked["orphans"]
    assert asked["spools"] == ()  # the folder's own, which is where the volume is mounted
    assert asked["watch"] > 1.5 * shipper._LONGEST_PAUSE_SECONDS


def test_the_job_runs_by_itself_and_never_beside_another() -> None:
    cron = one(RENDERING, "CronJob", "ship-orphans")["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert not cron.get("suspend")


@pytest.mark.parametrize(
    ("name", "mode"), [("spool-durable", "ReadWriteMany"), ("spool-durable/one-node", "ReadWriteOnce")]
)
def test_the_volume_is_written_to_by_as_many_nodes_as_there_are(name: str, mode: str) -> None:
    assert one(f"{LOCAL} with {name}", "PersistentVolumeClaim", "gauntlet-spool")["spec"]["accessModes"] == [mode]


@pytest.mark.parametrize("policy", ["postgres", "to-postgres"])
def test_the_job_is_among_those_who_may_ask_the_database(policy: str) -> None:
    spec = one(RENDERING, "NetworkPolicy", policy)["spec"]
    chosen = spec["podSelector"] if policy == "to-postgres" else spec["ingress"][0]["from"][0]["podSelector"]
    labels = template_of(RENDERING, "CronJob", "ship-orphans")["metadata"]["labels"]
    (who,) = chosen["matchExpressions"]
    assert labels["app.kubernetes.io/component"] in who["values"]
