"""kube-score on every rendering: clean, but for what is named here with its reason.

`go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0` installs it; without it these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from renderings import KUBECTL, RENDERINGS, rendered

KUBE_SCORE = shutil.which("kube-score")
KNOWN = {
    # Images by digest never change, and those of a cluster without registry can be pulled from nowhere.
    ("container-image-pull-policy", ""): "images come by digest, or were loaded into the node",
    # Ready is who lives: nothing that these wait for would be helped by taking them out of a Service of one.
    ("pod-probes-identical", "gauntlet-judge"): "scoring does without the judge, and has no other one to ask",
    ("pod-probes-identical", "gauntlet-mlflow"): "one replica",
    ("pod-probes-identical", "gauntlet-postgres"): "one replica",
    ("deployment-replicas", "gauntlet-alertmanager"): "Prometheus tells it again for as long as an alert fires",
    ("deployment-replicas", "gauntlet-console"): "nothing waits for it",
    ("deployment-replicas", "gauntlet-insight"): "scoring does without it for the seconds that another one takes",
    ("deployment-replicas", "gauntlet-judge"): "a second one would wait for the same locks",
    ("deployment-replicas", "gauntlet-mlflow"): "two servers on one SQLite file would lock each other out",
    ("deployment-replicas", "gauntlet-prometheus"): "a second one would write another history",
    ("deployment-strategy", "gauntlet-judge"): "Recreate: see its replicas",
    ("deployment-strategy", "gauntlet-mlflow"): "Recreate: see its replicas",
    ("deployment-strategy", "gauntlet-prometheus"): "Recreate: see its replicas",
    (
        "deployment-has-host-podantiaffinity",
        "gauntlet",
    ): "topologySpreadConstraints do it, and let one node hold two",
    # A headless Service would be another object: an address of a Service cannot be taken away.
    ("statefulset-has-servicename", "gauntlet-postgres"): "one replica, found by its Service",
    ("networkpolicy-targets-pod", "acme-challenge"): "the pods are cert-manager's, and come and go",
    # The image's own user.
    ("container-security-context-user-group-id", "gauntlet-postgres"): "999 is what PostgreSQL's image runs as",
    ("container-security-context-user-group-id", "gauntlet-postgres-dump"): "the same image",
}
"""What is let pass, by check and object; an empty name stands for every object."""

pytestmark = [
    pytest.mark.skipif(KUBECTL is None, reason="kubectl, which renders the manifests, is not installed"),
    pytest.mark.skipif(KUBE_SCORE is None, reason="kube-score is not installed"),
]


def found_in(rendering: str) -> Iterator[tuple[str, str, str]]:
    """Check, object and what is said, of each check that did not pass."""
    command = [str(KUBE_SCORE), "score", "--kubernetes-version", "v1.30", "--output-format", "json", "-"]
    manifests = yaml.safe_dump_all(rendered(rendering))
    done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)
    for scored in json.loads(done.stdout):
        for check in scored["checks"]:
            if check["grade"] < 10 and not check["skipped"]:
                said = "; ".join(comment["summary"] for comment in check["comments"] or ())
                yield check["check"]["id"], scored["object_meta"]["name"], said


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_every_rendering_is_clean_but_for_what_is_explained(rendering: str) -> None:
    unexplained = [found for found in found_in(rendering) if not {(found[0], found[1]), (found[0], "")} & KNOWN.keys()]
    assert not unexplained


def test_nothing_is_explained_that_is_not_found() -> None:
    found = {(check, name) for rendering in RENDERINGS for check, name, _ in found_in(rendering)}
    named = found | {(check, "") for check, _ in found}
    assert KNOWN.keys() - named == set()
