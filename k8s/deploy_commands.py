"""`gauntlet deploy`: an overlay rolled out, tried through its Ingress, and undone by itself where it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.command_line import as_json_option, print_result, who
from bentos.errors import InvalidSetting
from k8s.commands import in_namespace

if TYPE_CHECKING:
    from k8s.deploying import Deployed
    from k8s.kubectl import Kubectl
    from k8s.live import LiveCluster
    from k8s.overlay import Overlay
    from k8s.smoke import Checked, Door

FAILED = 1


@click.command()
@click.argument("overlay", type=click.Path(path_type=Path, file_okay=False, exists=True))
@in_namespace
@click.option(
    "--ingress",
    envvar="GAUNTLET_INGRESS",
    show_envvar=True,
    metavar="URL",
    help="Where the Ingress controller answers. Default: at the overlay's host.",
)
@click.option("--host", help="The name that the way in goes by. Default: the Ingress's.")
@click.option("--ca", "authority", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE",
              help="Certificates that sign the Ingress's. Default: those that the system trusts.")  # fmt: skip
@click.option("--prometheus", metavar="URL", help="Whose rules are asked for. Default: the overlay's own Prometheus.")
@click.option("--approved", "must_be_approved", is_flag=True,
              help="Only if `gauntlet rollout approve` recorded somebody's approval of the image.")  # fmt: skip
@click.option("--follow-champion", is_flag=True, help="Let the experiment's champion be the image's: in a place where "
              "nobody is judged, and which follows another one's promotions.")  # fmt: skip
@click.option("--timeout", "seconds", type=click.IntRange(10, 3600), default=300, show_default=True, metavar="SECONDS",
              help="How long each workload may take to come up.")  # fmt: skip
@click.option("--api-key", envvar="GAUNTLET_API_KEY", show_envvar=True, metavar="KEY",
              help="Of the scopes score and outcomes; better in the environment than here.")  # fmt: skip
@as_json_option
def deploy(
    overlay: Path,
    namespace: str,
    ingress: str | None,
    host: str | None,
    authority: Path | None,
    prometheus: str | None,
    must_be_approved: bool,
    follow_champion: bool,
    seconds: int,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Roll an overlay out, try it, and undo it where it fails.

    Every workload is waited for; then a test customer is scored, explained and told the outcome of through the Ingress,
    each pod is asked for its metrics and Prometheus for the rules of drift. What does not come up or does not do its
    work is taken back to what ran before.

    Exit code: 0 it stands, 1 it failed and was undone, 2 nothing was changed: wrong arguments, or an image that lacks a
    model that answers customers.
    """
    from bentos.job_summary import add_to_summary
    from k8s.deploying import Undone
    from k8s.deploying import deploy as run
    from k8s.kubectl import Kubectl
    from k8s.live import current_cluster
    from k8s.overlay import parse_overlay
    from k8s.rollout import Rollout
    from k8s.smoke import check_url

    if not api_key:
        raise InvalidSetting("an API key of the scopes score and outcomes is needed to try it: GAUNTLET_API_KEY")
    kubectl, cluster = Kubectl(namespace), current_cluster(namespace)
    rendered = parse_overlay(kubectl("kustomize", overlay))
    door = _door(rendered, ingress=ingress, host=host, api_key=api_key, authority=authority)
    if prometheus is not None:
        check_url("--prometheus", prometheus)
    if must_be_approved:
        click.echo(f"approved: {Rollout(kubectl, cluster, who=who()).check_approved(rendered.carried)}", err=True)
    try:
        deployed = run(
            kubectl,
            cluster,
            overlay,
            tries=lambda rendered: _try(kubectl, cluster, rendered, door, prometheus),
            follows=follow_champion,
            seconds=seconds,
            told=lambda text: click.echo(f"… {text}", err=True),
        )
    except Undone as e:
        add_to_summary(f"## Deploy: {overlay} failed\n\n{e}\n\n{_checks(e.checks)}")
        click.echo(f"gauntlet: {e}", err=True)
        sys.exit(FAILED)
    print_result(deployed, as_json, _render)
    click.echo("the same by hand, but the trying:", err=True)
    for line in deployed.commands:
        click.echo(f"  {line}", err=True)
    add_to_summary(f"## Deploy: {overlay} stands\n\n{_checks(deployed.checks)}")


def _door(overlay: Overlay, *, ingress: str | None, host: str | None, api_key: str, authority: Path | None) -> Door:
    """The way in; what is wrong with it is told before anything is changed."""
    from k8s.smoke import Door

    name = host or overlay.host
    if name is None:
        raise InvalidSetting("the overlay's Ingress names no host; --host gives one")
    door = Door(name, ingress or f"{'https' if overlay.is_https else 'http'}://{name}", api_key, authority)
    door.client().close()
    return door


def _try(
    kubectl: Kubectl, cluster: LiveCluster, overlay: Overlay, door: Door, prometheus: str | None
) -> tuple[Checked, ...]:
    from k8s.smoke import loaded_rules, smoke

    def metrics() -> Mapping[str, str]:
        return {pod: cluster.metrics(pod) for pod in cluster.pods()}

    with _watching(kubectl, overlay, prometheus) as url:
        return smoke(
            door,
            carried=overlay.carried.models,
            metrics=metrics,
            rules=None if url is None else lambda: loaded_rules(url),
        )


@contextmanager
def _watching(kubectl: Kubectl, overlay: Overlay, prometheus: str | None) -> Iterator[str | None]:
    """Where the Prometheus answers that watches the installation; None where nobody named one."""
    if prometheus is not None or not overlay.has_prometheus:
        yield prometheus
        return
    with kubectl.forward("service/gauntlet-prometheus", 9090) as url:
        yield url


def _render(deployed: Deployed) -> str:
    carried = deployed.carried
    return "\n".join([
        f"{deployed.overlay} stands: {', '.join(deployed.workloads)}",
        f"  image {carried.image}",
        f"  champion {carried.champion}" + "".join(f", challenger {digest}" for digest in carried.challengers),
        *(f"  {check.name:<11} {check.said}" for check in deployed.checks),
        *([] if any(check.name == "drift rules" for check in deployed.checks) else
          ["  drift rules not asked for: the overlay has no Prometheus of its own; --prometheus URL names another"]),
    ])  # fmt: skip


def _checks(checks: tuple[Checked, ...]) -> str:
    from bentos.job_summary import table

    rows = [(check.name, "good" if check.is_good else "**bad**", check.said) for check in checks]
    return table(("tried", "came out", "seen"), rows) if rows else "It did not come so far as to be tried."
