"""Commands run as Jobs, against an API server that a fake stands in for; the real one: tests/cluster."""

import json
import shlex

import click
import pytest
from click.testing import CliRunner

from bentos.errors import NotFound, Unavailable
from k8s import commands
from k8s.running import Ran, run_on

TEMPLATE = {
    "metadata": {"name": "gate", "uid": "u-1"},
    "spec": {
        "suspend": True,
        "jobTemplate": {
            "metadata": {"labels": {"app.kubernetes.io/component": "gate"}},
            "spec": {
                "template": {
                    "spec": {
                        "containers": [
                            {"name": "gate", "args": ["gate", "$(CANDIDATE)"], "env": [{"name": "A", "value": "1"}]}
                        ]
                    }
                }
            },
        },
    },
}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "exit code 1"}]}
COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}


def pod(**state):
    return {"metadata": {"name": "p1"}, "status": {"phase": "Running", "containerStatuses": [{"state": state}]}}


def ended(code, message="FAIL: accuracy"):
    return pod(terminated={"exitCode": code, "message": message})


class FakeJobs:
    """A Job that is under way for two looks, and then ends."""

    namespace = "shop"

    def __init__(self, *, end=COMPLETE, pods=None):
        self.end, self.looks, self.made = end, 0, None
        self.events, self.may_make_events = [], True
        self.pods = pods or [[], [pod(running={})], [ended(0, "PASS")]]

    def cron_job(self, name):
        if name != "gate":
            raise NotFound(f"no {name}")
        return TEMPLATE

    def create_job(self, job):
        self.made = job

    def job_status(self, name):
        assert name == self.made["metadata"]["name"]
        self.looks += 1
        return self.end if self.looks > 2 else {}

    def pods_of_job(self, name):
        return self.pods[min(self.looks, len(self.pods)) - 1]

    def log_of(self, name):
        return f"log of {name}\n"

    def record_event(self, job, message, *, is_warning):
        if not self.may_make_events:
            raise Unavailable("the API server answered 403: no")
        self.events.append((job, message, is_warning))


def run(cluster, *arguments, **options):
    return run_on(cluster, "gate", list(arguments) or None, sleep=lambda _: None, **options)


def test_a_job_is_made_of_the_template_and_its_words_come_home():
    cluster = FakeJobs()
    ran = run(cluster)
    assert (ran.exit_code, ran.output, ran.last_words) == (0, "log of p1\n", "PASS")
    assert cluster.made["spec"]["template"]["spec"]["containers"][0]["args"] == ["gate", "$(CANDIDATE)"]
    assert cluster.made["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert cluster.made["metadata"]["labels"] == {"app.kubernetes.io/component": "gate"}
    assert ran.commands[0] == f"kubectl --namespace shop create job {ran.job} --from=cronjob/gate"
    assert TEMPLATE["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"] == [
        {"name": "A", "value": "1"}
    ]


@pytest.mark.parametrize(("code", "message"), [(0, "PASS churn version 2"), (1, "FAIL churn version 3: accuracy")])
def test_an_event_tells_what_kubernetes_does_not(code, message):
    cluster = FakeJobs(end=FAILED if code else COMPLETE, pods=[[], [], [ended(code, message)]])
    ran = run(cluster)
    assert cluster.events == [(ran.job, message, bool(code))]


def test_who_may_make_no_events_gets_the_result_all_the_same():
    cluster, told = FakeJobs(), []
    cluster.may_make_events = False
    assert run(cluster, told=told.append).exit_code == 0
    assert "no event tells this: the API server answered 403: no" in told


def test_the_exit_code_is_the_jobs():
    ran = run(FakeJobs(end=FAILED, pods=[[ended(1)]]))
    assert (ran.exit_code, ran.last_words) == (1, "FAIL: accuracy")


def test_other_arguments_and_environment_take_the_place_of_the_templates():
    cluster = FakeJobs()
    ran = run(cluster, "gate", "models:/churn/2", environment={"A": "2", "B": "it's"})
    (container,) = cluster.made["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["gate", "models:/churn/2"]
    assert container["env"] == [{"name": "A", "value": "2"}, {"name": "B", "value": "it's"}]
    words = shlex.split(ran.commands[0])
    (patch,) = json.loads(words[words.index("--patch") + 1])
    assert patch["value"] == container["args"]


def test_a_pod_that_cannot_start_is_not_waited_for_forever():
    never = pod(waiting={"reason": "ErrImageNeverPull", "message": "no such image"})
    seconds = iter(range(0, 10_000, 40))
    cluster = FakeJobs(pods=[[never]])
    cluster.job_status = lambda _: {}
    with pytest.raises(Unavailable, match="cannot start: ErrImageNeverPull: no such image; it is left as it is"):
        run(cluster, clock=lambda: float(next(seconds)))


def test_a_job_without_an_exit_code_is_an_error_that_says_why():
    late = {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]}
    with pytest.raises(Unavailable, match="ended without an exit code: DeadlineExceeded: too long"):
        run(FakeJobs(end=late, pods=[[pod(running={})]]))
    with pytest.raises(Unavailable, match="ended without an exit code: DeadlineExceeded: too long"):
        run(FakeJobs(end=late, pods=[[]]))


def test_what_is_waited_for_is_told_once():
    said = []
    run(FakeJobs(pods=[[], [pod(waiting={"reason": "ContainerCreating"})], [ended(0)]]), told=said.append)
    assert [line.partition(": ")[2] for line in said[1:]] == ["no pod yet", "ContainerCreating"]


def test_a_pod_that_no_node_has_room_for_says_so():
    lacking = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient memory"}
    waiting = {"metadata": {"name": "p1"}, "status": {"phase": "Pending", "conditions": [lacking]}}
    said = []
    run(FakeJobs(pods=[[waiting], [waiting], [ended(0)]]), told=said.append)
    assert [line for line in said if line.endswith(f"Unschedulable: {lacking['message']}")] == said[1:2]


def test_who_said_no_last_word_makes_no_event():
    cluster = FakeJobs(pods=[[], [], [ended(0, "")]])
    assert run(cluster).exit_code == 0
    assert cluster.events == []


@pytest.fixture
def command(monkeypatch):
    """A command with --on-cluster. Gives the command, and what ran where."""
    ran = []

    @click.command("gate")
    @click.argument("candidate", default="models:/churn@candidate")
    @click.option("--policy")
    @click.option("--folder")
    def gate(**options):
        ran.append(("here", options))

    monkeypatch.setattr(commands, "run_there", lambda *words: ran.append(("there", words)))
    return commands.on_cluster(gate, "gate"), ran


def test_without_the_option_a_command_runs_here(command):
    gate, ran = command
    assert CliRunner().invoke(gate, ["models:/x/1", "--folder", "f"]).exit_code == 0
    assert ran == [("here", {"candidate": "models:/x/1", "policy": None, "folder": "f"})]


def test_with_it_the_job_gets_what_was_typed_and_nothing_of_this_machine(command):
    gate, ran = command
    typed = ["models:/x/1", "--policy", "p", "--on-cluster", "--namespace", "shop", "--folder=f"]
    assert CliRunner().invoke(gate, typed).exit_code == 0
    assert ran == [("there", ("gate", "gate", ["models:/x/1", "--policy", "p"], "shop"))]


@pytest.fixture
def asked(monkeypatch):
    """With which arguments a Job would be made."""
    found = []

    def run_on(cluster, cron, arguments, **_):
        found.append((cron, arguments))
        return Ran("job", 0, "", "", ())

    monkeypatch.setattr("k8s.running.run_on", run_on)
    monkeypatch.setattr("k8s.live.current_cluster", lambda namespace: namespace)
    return found


@pytest.mark.parametrize(
    ("command", "cron", "typed", "arguments"),
    [
        ("gate", "gate", [], None),
        ("gate", "gate", ["models:/x/1"], ["gate", "models:/x/1"]),
        ("verdict", "promote", [], ["verdict"]),
        ("verdict", "promote", ["--json"], ["verdict", "--json"]),
    ],
)
def test_the_templates_own_arguments_hold_for_its_own_command_alone(asked, command, cron, typed, arguments):
    """A verdict that promoted would be the worst of all."""
    with pytest.raises(SystemExit):
        commands.run_there(cron, command, typed, "shop")
    assert asked == [(cron, arguments)]


def test_a_job_ends_the_command_as_it_ended_and_tells_how_kubectl_does_the_same(monkeypatch, capsys):
    ran = Ran("gate-1", 1, "FAIL\n", "", ("kubectl create job", "kubectl logs"))
    monkeypatch.setattr("k8s.running.run_on", lambda *_, **__: ran)
    monkeypatch.setattr("k8s.live.current_cluster", lambda namespace: namespace)
    with pytest.raises(SystemExit) as ended_with:
        commands.run_there("gate", "gate", [], "shop")
    assert ended_with.value.code == 1
    out, err = capsys.readouterr()
    assert out == "FAIL\n"
    assert err.splitlines() == [
        "gate-1 ended with exit code 1; the same by hand:", "  kubectl create job", "  kubectl logs",
    ]  # fmt: skip


def test_a_wrong_option_is_told_before_a_job_is_made(command):
    gate, ran = command
    done = CliRunner().invoke(gate, ["--on-cluster", "--polcy", "p"])
    assert (done.exit_code, ran) == (2, [])
    assert "--polcy" in done.output
