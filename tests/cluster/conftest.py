"""The cluster tier: a real Kubernetes, a namespace for each run, and pod logs and events with each failure."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster_tools import ROOT, Kube, Step, TestCluster, run
from installing import installation  # noqa: F401

KUBE = pytest.StashKey[Kube]()
NOTES = pytest.StashKey[list[str]]()
STEPS = pytest.StashKey[list[tuple[str, float]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let a failure show what the namespace looks like."""
    report = yield
    kube = item.config.stash.get(KUBE, None)
    if report.failed and kube is not None:
        report.sections.append(("the namespace", kube.describe()))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that make an installation of their own go first: later the shared one fills the node and has the host."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    steps = config.stash.get(STEPS, [])
    if steps:
        terminalreporter.section("seconds of each step")
        for name, seconds in steps:
            terminalreporter.write_line(f"{seconds:7.1f} s  {name}")
        terminalreporter.write_line(f"{sum(seconds for _, seconds in steps):7.1f} s  in all")
    notes = config.stash.get(NOTES, [])
    if notes:
        terminalreporter.section("measured")
        for line in notes:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def step(request: pytest.FixtureRequest) -> Step:
    """Time a step, and say so at once: the tier takes minutes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    steps = request.config.stash.setdefault(STEPS, [])

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        steps.append((name, seconds))
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"{seconds:7.1f} s  {name}")

    return timed


@pytest.fixture(scope="session")
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say a figure that was measured, at the end."""
    return request.config.stash.setdefault(NOTES, []).append


@pytest.fixture(scope="session")
def cluster(step: Step) -> TestCluster:
    """The cluster, up."""
    program = Path(os.environ.get("GAUNTLET_CLUSTER") or ROOT / ".." / "shared" / "cluster" / "cluster").resolve()
    if not program.is_file():
        pytest.fail(f"{program} is no file; GAUNTLET_CLUSTER names the program that brings a test cluster up")
    found = TestCluster(program)
    with step("cluster up"):
        found.up()
    return found


@pytest.fixture(scope="session")
def kube(cluster: TestCluster, request: pytest.FixtureRequest) -> Iterator[Kube]:
    """kubectl in a namespace of this run's own, which is removed at the end with all that is in it."""
    found = Kube(f"gauntlet-test-{os.getpid()}-{int(time.time()) % 100_000}", cluster.environment())
    _check_nobody_answers_at(found, "gauntlet.localhost")
    request.config.stash[KUBE] = found
    try:
        yield found
    finally:
        found("delete", "namespace", found.namespace, "--ignore-not-found", "--timeout=90s")


@pytest.fixture(scope="session")
def gauntlet(kube: Kube) -> Callable[..., str]:
    """The command line on this machine, as someone beside the cluster uses it."""

    def call(*arguments: str | Path, tracking: str | None = None, errors: list[str] | None = None) -> str:
        environment = kube.environment if tracking is None else {**kube.environment, "MLFLOW_TRACKING_URI": tracking}
        return run(sys.executable, "gauntlet.py", *arguments, env=environment, errors=errors)

    return call


def _check_nobody_answers_at(kube: Kube, host: str) -> None:
    """Two Ingresses of one host would answer in turn, and the tests would ask the wrong installation."""
    for ingress in kube.read("ingress", "--all-namespaces")["items"]:
        if host in {rule.get("host") for rule in ingress["spec"].get("rules", [])}:
            pytest.fail(f"namespace {ingress['metadata']['namespace']} answers at {host} already; remove its Ingress")
