"""The control plane's part of the command line."""

from __future__ import annotations

import sys

import click

from bentos.errors import Refused


@click.command()
@click.option("--namespace", default="gauntlet", show_default=True, help="Where the installation is.")
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
