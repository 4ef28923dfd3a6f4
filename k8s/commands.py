"""The control plane's part of the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from bentos.command_line import who
from bentos.errors import Refused

_NAMESPACE: dict[str, Any] = {
    "default": "gauntlet", "envvar": "GAUNTLET_NAMESPACE", "show_default": True, "show_envvar": True,
}  # fmt: skip


def in_namespace(command: Callable[..., Any], told: str = "Where the installation is.") -> Callable[..., Any]:
    """Give a subcommand `--namespace`."""
    return click.option("--namespace", help=told, **_NAMESPACE)(command)


@click.command()
@in_namespace
@click.option("--client", default="first", show_default=True, help="The name of the first client, who gets API keys.")
def secrets(namespace: str, client: str) -> None:
    """Make a new installation's Secrets, at random.

    Pipe them to `kubectl create -f -`, which refuses to replace any. Of API keys they hold the SHA-256 alone; the keys
    themselves are printed here, on stderr, once.
    """
    from bentos.strict_yaml import dump_yaml
    from k8s.secrets import make_secrets

    if sys.stdout.isatty():
        raise Refused("Secrets are not printed on a terminal; pipe them: gauntlet secrets | kubectl create -f -")
    manifests, keys = make_secrets(namespace, client)
    click.echo(dump_yaml({"apiVersion": "v1", "kind": "List", "items": manifests}).decode(), nl=False)
    for scope, key in keys.items():
        click.echo(f"API key of {client} for {scope}: {key}", err=True)


ON_CLUSTER_HELP = "Run it as a Job of the cluster that the kubeconfig's context names; paths are those of its image."
_HANDED_OVER = ("GAUNTLET_RUNBOOKS",)
"""Settings of this machine that say something to the Job too."""

_HERE_ALONE = ("--namespace", "--folder")
"""Options that say something about this machine, and nothing to the Job."""


class _AsJob(click.Command):
    """A command that can also be run as a Job made from one of the installation's CronJobs."""

    cron = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed: it is checked here, and is the Job's arguments."""
        ctx.meta["typed"] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Here, or there."""
        on_cluster, namespace = ctx.params.pop("on_cluster"), ctx.params.pop("namespace")
        if not on_cluster:
            return super().invoke(ctx)
        return run_there(self.cron, str(self.name), _for_the_job(ctx.meta["typed"]), namespace)


def on_cluster(command: click.Command, cron: str) -> click.Command:
    """The same command with `--on-cluster`.

    Args:
        command: Runs on this machine.
        cron: The suspended CronJob whose template runs it on the cluster.
    """
    there = click.Option(["--on-cluster"], is_flag=True, help=ON_CLUSTER_HELP)
    namespace = click.Option(["--namespace"], help="With --on-cluster: where the installation is.", **_NAMESPACE)
    made = _AsJob(
        name=command.name, callback=command.callback, params=[*command.params, there, namespace], help=command.help
    )
    made.cron = cron
    return made


def run_there(cron: str, command: str, typed: list[str], namespace: str) -> NoReturn:
    """Run a command as a Job, print what it said, and end with its exit code."""
    from k8s.live import current_cluster
    from k8s.running import run_on

    ran = run_on(
        current_cluster(namespace),
        cron,
        # Without arguments of one's own those of the template hold, which an installation may have changed; but only
        # where the template is this command's: `verdict` must never run what stands in the one for `promote`.
        [command, *typed] if typed or command != cron else None,
        environment={"GAUNTLET_WHO": who()} | {name: os.environ[name] for name in _HANDED_OVER if name in os.environ},
        told=lambda text: click.echo(f"… {text}", err=True),
    )
    click.echo(ran.output, nl=False)
    click.echo(f"{ran.job} ended with exit code {ran.exit_code}; the same by hand:", err=True)
    for line in ran.commands:
        click.echo(f"  {line}", err=True)
    sys.exit(ran.exit_code)


def _for_the_job(typed: list[str]) -> list[str]:
    kept, rest = [], iter(typed)
    for word in rest:
        if word == "--on-cluster":
            continue
        if word in _HERE_ALONE:
            next(rest, None)
        elif not word.startswith(tuple(f"{option}=" for option in _HERE_ALONE)):
            kept.append(word)
    return kept
