"""The experiment's ConfigMap changed against an API server that a fake stands in for; the real one: tests/cluster."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml
from kubernetes.client import ApiException

from bentos.errors import InvalidExperiment, InvalidSetting, NotFound, Refused, Unavailable
from k8s.experiment_map import ExperimentMap, change_on, read_on
from k8s.live import LiveCluster, current_cluster
from service.scoring.experiment import Experiment, dump_experiment, parse_experiment, set_split, start_shadow, stop

A, B = ("sha256:" + digit * 64 for digit in "ab")
FIRST = Experiment(
    revision=4, effective_from=datetime(2026, 1, 1, tzinfo=UTC), mode="shadow", champion=A, challenger=B, salt="s"
)


class FakeCluster:
    """A ConfigMap with a version, and pods that follow it a look later."""

    namespace = "shop"

    def __init__(self, *, pods=("p1", "p2"), refuse=(), rivals=0, slow=(), without=(), leaving_out=()):
        self.without, self.leaving_out, self.at = without, leaving_out, FIRST.revision
        self.content, self.version = dump_experiment(FIRST).decode(), 1
        self.names, self.refuse, self.rivals, self.slow = list(pods), refuse, rivals, slow
        self.annotated, self.looks = {}, 0

    def read_map(self):
        return self.content, str(self.version)

    def write_map(self, content, version):
        if self.rivals:  # somebody else is quicker
            self.rivals -= 1
            self.version += 1
            old = parse_experiment(self.content.encode())
            self.content = dump_experiment(set_split(old, 0.05, now=datetime.now(UTC), lead=timedelta(0))).decode()
        if version != str(self.version):
            return False
        self.content, self.version = content, self.version + 1
        return True

    def pods(self):
        return list(self.names)

    def annotate(self, pod, value):
        self.annotated[pod] = value

    def metrics(self, pod):
        self.looks += 1
        follows = self.looks > len(self.names) and pod not in (*self.refuse, *self.slow)
        written = parse_experiment(self.content.encode())
        revision = written.revision if follows and written.revision >= self.at else self.at
        mode = "off" if pod in self.leaving_out else written.mode
        valid = 0 if pod in self.refuse or written.revision < self.at else 1
        carries = 0 if pod in self.without else 1
        return (
            f"gauntlet_experiment_revision {revision}\ngauntlet_experiment_file_valid {valid}\n"
            f"gauntlet_experiment_challenger_present {carries}\n"
            f'gauntlet_experiment_mode{{mode="{mode}"}} 1\n'
        )


def split(old, now):
    return set_split(old, 0.25, now=now, lead=timedelta(seconds=30))


def change(cluster, **options):
    return change_on(cluster, split, sleep=lambda _: None, **options)


def test_the_next_revision_is_written_and_every_pod_waited_for():
    cluster = FakeCluster()
    changed = change(cluster)
    assert (changed.experiment.revision, changed.experiment.split, changed.pods) == (5, 0.25, ("p1", "p2"))
    assert read_on(cluster) == changed.experiment
    assert cluster.annotated == {"p1": "5", "p2": "5"}
    assert cluster.looks > 2


def test_it_says_how_kubectl_does_the_same():
    cluster = FakeCluster()
    patch, annotate, look = change(cluster).commands
    first, _, rest = patch.partition("\n")
    assert first == (
        "kubectl --namespace shop patch configmap gauntlet-experiment --type=merge --patch-file=/dev/stdin <<'END'"
    )
    content = yaml.safe_load(rest.removesuffix("END"))["data"]["experiment.yaml"]
    assert parse_experiment(content.encode()) == read_on(cluster)
    assert max(map(len, rest.splitlines())) < 330
    assert annotate.endswith("--overwrite gauntlet.dev/experiment-revision=5")
    assert "/api/v1/namespaces/shop/pods/p1:3001/proxy/metrics" in look


def test_a_change_of_somebody_else_meanwhile_is_built_upon():
    cluster = FakeCluster(rivals=2)
    assert change(cluster).experiment.revision == FIRST.revision + 3


def test_one_that_never_comes_through_gives_up_and_has_written_nothing():
    cluster = FakeCluster(rivals=99)
    with pytest.raises(Unavailable, match="changed by somebody else 5 times"):
        change(cluster)
    assert read_on(cluster).split == 0.05
    assert cluster.annotated == {}


def test_a_pod_that_refuses_the_file_is_named_with_where_to_look():
    with pytest.raises(InvalidExperiment, match=r"p2 cannot follow it .* `kubectl logs p2 -c scoring`"):
        change(FakeCluster(refuse=("p2",)), seconds=0)


def test_a_pod_that_does_not_follow_in_time_is_named_with_where_it_is():
    with pytest.raises(Unavailable, match=r"after 0 s not every pod answers by it: .*p2 at 4"):
        change(FakeCluster(slow=("p2",)), seconds=0.0)


def test_a_pod_that_does_not_carry_the_challenger_is_named_as_nobody_is_on_trial_there():
    with pytest.raises(InvalidExperiment, match=r"revision 5 is written, and p2 do not carry the challenger"):
        change(FakeCluster(without=("p2",)))


def test_a_pod_that_leaves_the_challenger_out_is_named_as_nobody_is_on_trial_there_either():
    with pytest.raises(InvalidExperiment, match=r"revision 5 is written, and p1 leave the challenger out.*logs p1"):
        change(FakeCluster(leaving_out=("p1",)))


def test_pods_that_are_ahead_of_an_older_file_follow_what_is_written_next():
    """Whoever replaced the ConfigMap by a backup must be able to stop the challenger all the same."""
    cluster = FakeCluster()
    cluster.at = 51
    changed = change_on(cluster, lambda old, now: stop(old, now=now, lead=timedelta(0)), sleep=lambda _: None)
    assert (changed.experiment.revision, changed.experiment.mode) == (52, "off")


def test_what_every_pod_would_refuse_is_not_written_so_that_the_next_change_can_be_read():
    """The champion put on trial against itself."""
    cluster = FakeCluster()
    before = cluster.content
    with pytest.raises(InvalidExperiment, match="challenger and champion are the same artifact"):
        change_on(
            cluster,
            lambda old, now: start_shadow(old, old.champion, now=now, salt="s", lead=timedelta(0)),
            sleep=lambda _: None,
        )
    assert (cluster.content, cluster.annotated) == (before, {})
    place = ExperimentMap(cluster)
    unservable = start_shadow(place.read(), FIRST.champion, now=datetime.now(UTC), salt="s", lead=timedelta(0))
    with pytest.raises(InvalidExperiment, match="the same artifact"):
        place.write(unservable)
    assert cluster.content == before


def test_a_pod_that_refuses_the_file_follows_nothing_however_late_its_revision():
    cluster = FakeCluster()
    cluster.metrics = lambda pod: "gauntlet_experiment_revision 99\ngauntlet_experiment_file_valid 0\n"
    with pytest.raises(InvalidExperiment, match="cannot follow it"):
        change(cluster, seconds=0)


def test_where_nobody_is_on_trial_no_pod_needs_to_carry_a_challenger():
    cluster = FakeCluster(without=("p1", "p2"))
    changed = change_on(cluster, lambda old, now: stop(old, now=now, lead=timedelta(0)), sleep=lambda _: None)
    assert changed.experiment.mode == "off"


def test_without_a_ready_pod_nobody_follows():
    with pytest.raises(Unavailable, match="revision 5 is written, and no scoring pod was ready"):
        change(FakeCluster(pods=()), seconds=0)


def test_a_later_revision_of_somebody_else_is_followed_too():
    cluster = FakeCluster()
    said = iter([4, 4, *[9] * 9])
    cluster.metrics = lambda pod: f"gauntlet_experiment_revision {next(said)}\n"
    assert change(cluster, seconds=0).pods == ("p1", "p2")


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch):
    """A kubeconfig of this content."""

    def write(content):
        (tmp_path / "config").write_text(content)
        # The client looks at the variable when it is imported, and never again.
        for module in ("kubernetes.config", "kubernetes.config.kube_config"):
            monkeypatch.setattr(f"{module}.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))

    return write


NOBODY = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
"""


def test_an_api_server_that_does_not_answer_is_an_error_in_one_sentence(kubeconfig):
    kubeconfig(NOBODY)
    with pytest.raises(Unavailable, match=r"the API server does not answer: 127\.0\.0\.1:9: .*refused"):
        read_on(current_cluster("gauntlet"))
    assert current_cluster("gauntlet").metrics("p1") == ""


@pytest.mark.parametrize(
    "content", ["", "a: [", "[1, 2]", "text", "apiVersion: v1\nkind: Config\ncurrent-context: none\n"]
)
def test_a_kubeconfig_that_leads_nowhere_is_told(kubeconfig, content):
    kubeconfig(content)
    with pytest.raises(Unavailable, match=r"no cluster: .*KUBECONFIG names the file"):
        current_cluster("gauntlet")


def test_a_kubeconfig_whose_user_acts_as_somebody_else_is_refused_as_its_own_rights_would_be_used(kubeconfig):
    kubeconfig(NOBODY.replace("user: {}", "user: {token: t, as: nobody}"))
    with pytest.raises(InvalidSetting, match="user u acts as somebody else"):
        current_cluster("gauntlet")


def test_the_api_servers_own_words_are_told():
    class Api:
        def read_namespaced_config_map(self, *_, **__):
            error = ApiException(status=403, reason="Forbidden")
            error.body = '{"message": "configmaps is forbidden: User eve cannot get resource configmaps"}'
            raise error

    with pytest.raises(Unavailable, match="answered 403: configmaps is forbidden: User eve cannot get"):
        LiveCluster("shop", Api()).read_map()


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (409, Refused, "gauntlet-experiment is in shop already, and is never reset"),
        (404, NotFound, "there is no namespace shop; apply an overlay first"),
        (403, Unavailable, "the API server answered 403: no"),
    ],
)
def test_the_first_experiment_is_made_once(status, error, message):
    class Api:
        def create_namespaced_config_map(self, *_, **__):
            raise ApiException(status=status, reason="no")

    with pytest.raises(error, match=message):
        LiveCluster("shop", Api()).create_map("revision: 1")


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (404, NotFound, "shop has no ConfigMap gauntlet-experiment; make it: gauntlet experiment begin --on-cluster"),
        (403, Unavailable, "the API server answered 403: no"),
    ],
)
def test_what_the_api_server_refuses_is_told(status, error, message):
    class Api:
        def read_namespaced_config_map(self, *_, **__):
            raise ApiException(status=status, reason="no")

    with pytest.raises(error, match=message):
        LiveCluster("shop", Api()).read_map()


def test_as_a_place_it_is_written_over_what_was_read():
    cluster = FakeCluster()
    place = ExperimentMap(cluster)
    after = split(place.read(), datetime.now(UTC))
    place.write(after)
    assert place.read() == after
    assert place.wait(after.revision, seconds=5) == "all 2 pods answer by revision 5"
    assert cluster.annotated == {"p1": "5", "p2": "5"}


def test_as_a_place_it_gives_up_where_somebody_came_between():
    cluster = FakeCluster()
    place = ExperimentMap(cluster)
    after = split(place.read(), datetime.now(UTC))
    cluster.rivals = 1
    with pytest.raises(Unavailable, match="changed by somebody else meanwhile"):
        place.write(after)
    assert read_on(cluster).split == 0.05


def test_an_answer_that_was_lost_is_asked_for_again():
    cluster = FakeCluster()
    place = ExperimentMap(cluster)
    after = split(place.read(), datetime.now(UTC))

    def lose(content, version, write=cluster.write_map):
        write(content, version)
        raise Unavailable("the API server does not answer: ReadTimeoutError")

    cluster.write_map = lose
    place.write(after)
    assert read_on(cluster) == after


def test_one_that_was_never_made_is_not_taken_for_done():
    cluster = FakeCluster()
    place = ExperimentMap(cluster)
    after = split(place.read(), datetime.now(UTC))

    def refuse(content, version):
        raise Unavailable("the API server answered 403: no")

    cluster.write_map = refuse
    with pytest.raises(Unavailable, match="403"):
        place.write(after)
