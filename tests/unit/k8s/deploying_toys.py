"""An overlay as it renders, and a namespace that is kept in memory: a kubectl with its objects, and an experiment."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime

import yaml

from bentos.errors import NotFound, Refused
from service.ids import make_id
from service.micros import to_micros
from service.scoring.experiment import Experiment, dump_experiment, parse_experiment

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = Experiment(revision=4, effective_from=NOW, mode="off", champion=A, salt="s")
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
COUNTED = 'gauntlet_experiment_revision 3\ngauntlet_predictions_total{variant="champion",purpose="test"} 1\n'
ASKED_AT = NOW.replace(hour=8)
"""When the toy service made its prediction."""


def manifests(*, image=f"shop/gauntlet-scoring@{C}", champion=A, challengers=(B,), limit="1"):
    told = {"gauntlet.dev/champion": champion, "gauntlet.dev/challengers": " ".join(challengers)}
    template = {
        "metadata": {"annotations": told},
        "spec": {"containers": [{"name": "scoring", "image": image}]},
    }
    return [
        {"kind": "ConfigMap", "metadata": {"name": "gauntlet-settings"}, "data": {"limit": limit}},
        {"kind": "Deployment", "metadata": {"name": "gauntlet"}, "spec": {"template": template}},
        {
            "kind": "Ingress",
            "metadata": {"name": "gauntlet"},
            "spec": {"rules": [{"host": "gauntlet.example"}], "tls": [{}]},
        },
    ]


class FakeKubectl:
    """A namespace whose workloads come up unless their image is among the broken ones."""

    namespace = "shop"

    def __init__(self, rendered, *, standing=(), broken=(), forwards_to=None):
        self.rendered, self.broken, self.forwards_to = rendered, broken, forwards_to
        self.objects, self.history, self.said, self.notes = {}, [], [], {}
        for manifest in standing:
            self.apply(manifest)

    def __call__(self, *arguments, given=None):
        words = [str(word) for word in arguments]
        self.said.append(" ".join(words))
        return getattr(self, f"on_{words[0]}")(words[1:], given) or ""

    @contextmanager
    def forward(self, target, port):
        self.said.append(f"port-forward {target} {port}")
        yield self.forwards_to

    def apply(self, manifest):
        name = f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"
        if name == "deployment/gauntlet":
            self.history.append(manifest)
        kept = json.loads(json.dumps(manifest))
        kept["metadata"]["annotations"] = {APPLIED: json.dumps(manifest)}
        self.objects[name] = kept

    def on_kustomize(self, _words, _given):
        return yaml.safe_dump_all(self.rendered)

    def on_get(self, words, given):
        if words[0] == "pods":
            status = {"containerStatuses": [{"name": "scoring", "state": {"waiting": {"reason": "ErrImagePull"}}}]}
            return json.dumps({"items": [{"status": status}]})
        if words[0] == "configmap/gauntlet-experiment":
            return json.dumps({"metadata": {"annotations": dict(self.notes)}})
        if words[0] == "deployment/gauntlet":
            return json.dumps({"spec": {"selector": {"matchLabels": {"a": "b"}}}})
        wanted = [f"{found['kind'].lower()}/{found['metadata']['name']}" for found in yaml.safe_load_all(given)]
        items = [self.objects[name] for name in wanted if name in self.objects]
        return json.dumps({"items": items}) if items else ""

    def on_apply(self, words, given):
        for manifest in self.rendered if words[0] == "-k" else [json.loads(given)]:
            self.apply(manifest)

    def on_annotate(self, words, _given):
        name, _, value = words[1].partition("=")
        self.notes[name] = value

    def on_rollout(self, words, _given):
        if words[0] == "undo":
            self.history.pop()
            self.apply(self.history.pop())
        elif self.image in self.broken:
            raise Refused("kubectl rollout status failed with exit code 1:\nerror: timed out waiting")

    @property
    def image(self):
        return self.objects["deployment/gauntlet"]["spec"]["template"]["spec"]["containers"][0]["image"]


class FakeCluster:
    """An experiment's ConfigMap, and what scoring pods say under `/metrics`."""

    namespace = "shop"

    def __init__(self, experiment=FIRST, said=None):
        self.experiment, self.said = experiment, said or {}

    def read_map(self):
        if self.experiment is None:
            raise NotFound("shop has no ConfigMap gauntlet-experiment")
        return dump_experiment(self.experiment).decode(), "1"

    def write_map(self, content, _version):
        self.experiment = parse_experiment(content.encode())
        return True

    def pods(self):
        return sorted(self.said)

    def metrics(self, pod):
        return self.said[pod]


def old():
    return manifests(image=f"shop/gauntlet-scoring@{A}", challengers=(), limit="0")


def serve_customers(toy, *, champion=A):
    """Let a toy server answer a customer's whole way: documentation, score, explanation and outcome."""

    def example(body):
        return {"post": {"requestBody": {"content": {"application/json": {"example": body}}}}}

    customer = {"customer_id": "7590", "features": {"tenure": 3}}
    told = {"outcomes": [{"prediction_id": "p", "positive": True, "observed_at": "2026-01-01T00:00:00Z"}]}
    paths = {"/v1/score": example(customer), "/v1/explain": example({"features": {}}), "/v1/outcomes": example(told)}
    toy.will("GET", "/docs/openapi.json", {"paths": {**paths, "/livez": {"get": {}}}})
    model = {"name": "churn", "version": "3", "digest": champion}
    score = {
        "prediction_id": make_id(to_micros(ASKED_AT), bytes(8)), "model": model, "variant": "champion",
        "label": "No", "probability": 0.125,
    }  # fmt: skip
    toy.will("POST", "/v1/score", score)
    explanation = {"summary": "a short tenure", "check": {"difference": 1e-9, "tolerance": 1e-6}}
    toy.will("POST", "/v1/explain", {"explanation": explanation})
    toy.will("POST", "/v1/outcomes", {"accepted": 1})


def load_rules(toy, *groups):
    """Let a toy server be a Prometheus that has these groups of rules."""
    toy.will("GET", "/api/v1/rules", {"data": {"groups": [{"name": name} for name in groups]}})
