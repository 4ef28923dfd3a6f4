"""`gauntlet rollout`: from an approved image to its challenger's promotion, at most a step at a time."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.command_line import as_json_option, moment_of, print_result, who
from bentos.errors import InvalidSetting
from k8s.commands import in_namespace

if TYPE_CHECKING:
    from k8s.advancing import Plan
    from k8s.rollout import Advanced, Rollout, Standing

_HOURS = {"m": 1 / 60, "h": 1.0, "d": 24.0}


@click.group()
def rollout() -> None:
    """Roll an approved image's challenger out, a step at a time.

    The image is approved once, by its digest; each step is then taken only if the verdict allows it.
    """


@rollout.command("approve")
@click.argument("overlay", type=click.Path(path_type=Path, file_okay=False, exists=True))
@in_namespace
def rollout_approve(overlay: Path, namespace: str) -> None:
    """Record that the scoring image of an OVERLAY may be rolled out.

    The record names who approved (GAUNTLET_WHO) and the image's digest, and stands on the experiment's ConfigMap.
    """
    from k8s.kubectl import Kubectl
    from k8s.overlay import parse_overlay

    carried = parse_overlay(Kubectl(namespace)("kustomize", overlay)).carried
    record = _rollout(namespace).approve(carried)
    click.echo(f"{carried.digest} is approved: {record}")
    for digest in carried.challengers:
        click.echo(f"  challenger {digest}")


@rollout.command("show")
@in_namespace
@as_json_option
def rollout_show(namespace: str, as_json: bool) -> None:
    """Say who approved the deployed image, and how far its challenger is."""
    print_result(_rollout(namespace).standing(), as_json, _render_standing)


@rollout.command("advance")
@click.option("--shares", default="5,25,50", envvar="GAUNTLET_SHARES", show_default=True, show_envvar=True,
              metavar="PERCENT,...",
              help="Of customers, rising; the last one is kept until the verdict decides.")  # fmt: skip
@click.option("--soak", default="24h", envvar="GAUNTLET_SOAK", show_default=True, show_envvar=True, metavar="LENGTH",
              help="How long each phase lasts at least, such as 90m, 24h or 7d.")  # fmt: skip
@click.option("--as-of", envvar="GAUNTLET_AS_OF", show_envvar=True, metavar="TIME",
              help="Judge from a later moment, such as 2026-03-01T00:00:00Z: provisional.")  # fmt: skip
@in_namespace
@as_json_option
def rollout_advance(shares: str, soak: str, as_of: str | None, namespace: str, as_json: bool) -> None:
    """Take at most one step: shadow, the next share, promotion or rollback.

    Ask it on a schedule. The shadow begins once the image is deployed and approved; the share grows while matured
    customers show no harm; roles change by the verdict alone. A challenger that was rolled back is not tried again.

    Exit code: 0 a step was taken or none is due, 2 refused: not approved, a verdict of INVALID, another on trial.
    """
    from bentos.job_summary import add_to_summary

    moment_of(as_of)
    plan = _plan(shares, soak)
    advanced = _rollout(namespace).advance(plan, as_of=as_of)
    print_result(advanced, as_json, _render)
    add_to_summary(f"## Rollout: {advanced.step.action}\n\n{_render(advanced)}")


def _rollout(namespace: str) -> Rollout:
    from k8s.kubectl import Kubectl
    from k8s.live import current_cluster
    from k8s.rollout import Rollout

    told = lambda text: click.echo(f"… {text}", err=True)  # noqa: E731
    return Rollout(Kubectl(namespace), current_cluster(namespace), who=who(), told=told)


def _plan(shares: str, soak: str) -> Plan:
    from k8s.advancing import Plan

    try:
        found = tuple(float(share) / 100 for share in shares.split(","))
    except ValueError:
        found = ()
    if not found or sorted(set(found)) != list(found) or not 0 < found[0] <= found[-1] <= 1:
        raise InvalidSetting(f"--shares is {shares!r}; it must be rising percentages up to 100, such as 5,25,50")
    length = re.fullmatch(r"([0-9]{1,6})([mhd])", soak)
    if length is None:
        raise InvalidSetting(f"--soak is {soak!r}; it must be 0 to 999999 of m, h or d, such as 90m, 24h or 7d")
    return Plan(shares=found, soak=timedelta(hours=int(length[1]) * _HOURS[length[2]]))


def _render(advanced: Advanced) -> str:
    step = advanced.step
    named = f" {step.share:.0%}" if step.action == "split" else ""
    lines = [f"{step.action}{named}: {step.why} (revision {advanced.revision})"]
    if advanced.verdict is not None:
        lines.append(f"  verdict {advanced.verdict.verdict}")
        lines += [f"  - {reason}" for reason in advanced.verdict.reasons]
    return "\n".join(lines)


def _render_standing(standing: Standing) -> str:
    experiment, carried = standing.experiment, standing.carried
    share = f", {experiment.split:.0%}" if experiment.mode == "split" else ""
    return "\n".join([
        f"image      {carried.image}",
        f"approved   {standing.approved or 'by nobody'}",
        f"champion   {experiment.champion}",
        f"challenger {' '.join(carried.challengers) or 'none'}",
        f"trial      {f'begun {standing.begun}' if standing.begun else 'not begun'}",
        f"experiment revision {experiment.revision}, mode {experiment.mode}{share}",
    ])  # fmt: skip
