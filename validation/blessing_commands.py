"""`gauntlet blessing`: the record of a gate's PASS, shown, tested, taken back, and the keys that sign it."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from bentos.command_line import as_json_option, in_folder, print_result, who
from bentos.folder import Folder


@click.group()
def blessing() -> None:
    """See, verify or take back a model's blessing.

    It is the record of a gate's PASS: which bytes, on which data, by which policy, how far it reaches and until when.
    """


_MODEL = click.argument("model", default="models:/churn@challenger")


@blessing.command("show")
@_MODEL
@in_folder
@as_json_option
def blessing_show(model: str, folder: Folder, as_json: bool) -> None:
    """Print the blessing of MODEL.

    MODEL is models:/NAME@ALIAS or models:/NAME/NUMBER; default models:/churn@challenger.
    """
    from bentos.registry import registry_of
    from validation.blessing import show

    registry = registry_of(folder)
    print_result(show(registry, registry.resolve(model)), as_json, str)


@blessing.command("verify")
@_MODEL
@click.option("--scope", type=click.Choice(["split", "shadow"]), help="How far it must reach. Default: as it says.")
@click.option("--policy", type=click.Path(path_type=Path), metavar="FILE", help="The policy that it must be by.")
@in_folder
@as_json_option
def blessing_verify(
    model: str, scope: Literal["split", "shadow"] | None, policy: Path | None, folder: Folder, as_json: bool
) -> None:
    """Test the blessing of MODEL in every way, one line a test.

    Bytes, record, verdict, signature, revocation, expiry, scope, data, chain up to the first champion. Exit code 0
    where it holds, else 1. GAUNTLET_BLESSING_PUBLIC_KEY_FILE names the keys whose signatures count.
    """
    from bentos.registry import registry_of
    from bentos.revocations import trust_of
    from validation.blessing import verify
    from validation.gate.policy import load_policy

    registry = registry_of(folder)
    wanted = None if policy is None else (str(policy), load_policy(policy)[1])
    trust = trust_of(folder, os.environ)
    found = verify(registry, registry.resolve(model), now=datetime.now(UTC), trust=trust, scope=scope, policy=wanted)
    print_result(found, as_json, str)
    sys.exit(0 if found.holds else 1)


@blessing.command("revoke")
@click.argument("model")
@click.option("--reason", required=True, help="Why; it stands wherever the blessing is refused from now on.")
@in_folder
@as_json_option
def blessing_revoke(model: str, reason: str, folder: Folder, as_json: bool) -> None:
    """Take the blessing of MODEL back.

    Packaging, promotion and serving refuse it from then on; a reigning champion goes on serving, with an alert. It is
    written to DIR/revocations.json (or GAUNTLET_REVOCATIONS_FILE), which `gauntlet serve` rereads, and to the registry.
    """
    from bentos.registry import registry_of
    from bentos.revocations import revocations_path
    from service.store import store_of
    from validation.blessing import revoke_and_record

    registry = registry_of(folder)
    done = revoke_and_record(
        registry,
        registry.resolve(model),
        path=revocations_path(folder, os.environ),
        open_store=lambda: store_of(folder),
        who=who(),
        now=datetime.now(UTC),
        reason=reason,
    )
    print_result(done, as_json, str)


@blessing.command("key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def blessing_key(file: Path) -> None:
    """Make a key pair that signs blessings.

    The private key goes to FILE, which only you may read: for the gate, as GAUNTLET_BLESSING_KEY_FILE. The public key
    goes to FILE.pub: for everyone who packs, serves or promotes, as GAUNTLET_BLESSING_PUBLIC_KEY_FILE.
    """
    from bentos.artifact import make_keys

    public, fingerprint = make_keys(file)
    click.echo(f"{file}: private key, for the gate alone\n{public}: public key {fingerprint}")
