"""The data plane's part of the command line: serving, API keys, and the prediction log on its way and in the store."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bentos.command_line import as_json_option, in_folder, moment_of, online_policy, print_result, rules_of, who
from bentos.errors import InvalidSetting
from bentos.folder import Folder

if TYPE_CHECKING:
    from service.http.keys import Scope
    from service.store import Store

ARCHIVE = "archive"
_ARCHIVE_HELP = "Where retention writes Parquet files, one a table and month. Default: DIR/archive."


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="0 for any free one.")
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65535),
    show_default="3001; any free one where --port is 0",
    help="Where /metrics is.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    envvar="GAUNTLET_WORKERS",
    default=1,
    show_default=True,
    show_envvar=True,
    help="Scoring processes.",
)
@click.option(
    "--only",
    type=click.Choice(["scoring"]),
    help="Start this process alone, as a container does; shipper and judge then run elsewhere.",
)
@click.option("--insight", is_flag=True, help="Start insight too, which explains; needs its group of packages.")
@click.option(
    "--console",
    "console_port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Start the console too, on this port of this machine; needs its group of packages.",
)
@online_policy
@in_folder
def serve(
    host: str,
    port: int,
    admin_port: int | None,
    workers: int,
    only: str | None,
    insight: bool,
    console_port: int | None,
    policy: Path | None,
    folder: Folder,
) -> None:
    """Serve the packed Bento over HTTP.

    Beside scoring run the shipper, which moves the prediction log to the store, and the judge. Where --host is no
    loopback address, clients must show API keys: `gauntlet keys add` makes them.
    """
    from service.supervisor import serve as run

    if only and insight:
        raise InvalidSetting("--insight goes without --only: GAUNTLET_INSIGHT_URL names one that runs elsewhere")
    if only and console_port is not None:
        raise InvalidSetting("--console goes without --only: `gauntlet console` starts one by itself")
    sys.exit(
        run(
            folder,
            host=host,
            port=port,
            admin_port=admin_port,
            workers=workers,
            policy=rules_of(policy, folder),
            scoring_only=only == "scoring",
            insight=insight,
            console_port=console_port,
        )
    )


@click.group()
def keys() -> None:
    """Give API keys to clients, and take them away.

    Only their SHA-256 is kept, in DIR/keys; the service rereads it while it serves. Scopes: score, outcomes, and admin,
    which holds both.
    """


_SCOPE = click.argument("scope", type=click.Choice(["score", "outcomes", "admin"]))


@keys.command("add")
@_SCOPE
@click.argument("client")
@in_folder
def keys_add(scope: Scope, client: str, folder: Folder) -> None:
    """Make a key for CLIENT and print it, once.

    A client may have several, so that one can be replaced without a gap: add, hand over, revoke --all-but-newest.
    """
    from service.http.keys import add_key

    click.echo(add_key(folder.keys, scope, client))


@keys.command("list")
@in_folder
def keys_list(folder: Folder) -> None:
    """Print who has keys: client, scopes, and the first digits of the key's SHA-256."""
    from service.http.keys import read_keys

    found = read_keys(folder.keys)
    if not found:
        click.echo("there are no keys; `gauntlet keys add SCOPE CLIENT` makes one", err=True)
    for digest, client in found.items():
        click.echo(f"{client.name:<20} {','.join(sorted(client.scopes)):<20} {digest.hex()[:12]}")


@keys.command("revoke")
@_SCOPE
@click.argument("client")
@click.option("--all-but-newest", is_flag=True, help="Keep the key that was added last.")
@in_folder
def keys_revoke(scope: Scope, client: str, all_but_newest: bool, folder: Folder) -> None:
    """Take the keys of CLIENT away."""
    from service.http.keys import revoke_keys

    gone = revoke_keys(folder.keys, scope, client, all_but_newest=all_but_newest)
    click.echo(f"{gone} key{'' if gone == 1 else 's'} of {client} taken away from {scope}")


@click.command()
@click.argument("spools", nargs=-1, metavar="[DIR]...", type=click.Path(path_type=Path))
@in_folder
@click.option("--once", is_flag=True, help="Ship what is there, and end.")
@click.option("--orphans", is_flag=True, help="Ship the spools in each DIR whose owner is gone to their end, and end.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --orphans: leave alone what somebody else ships within so long; a shipper pauses for 30 at most.",
)
@click.option("--give-up", metavar="WORKER", help="Wait no longer for a spool that is lost; needs a --reason.")
@click.option("--reason", help="Why a spool is given up; recorded.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    envvar="GAUNTLET_SHIPPER_METRICS_PORT",
    show_envvar=True,
    help="Where to answer /metrics: how far it is behind. Default: nowhere.",
)
@click.option(
    "--metrics-host",
    envvar="GAUNTLET_SHIPPER_METRICS_HOST",
    default="127.0.0.1",
    show_default=True,
    show_envvar=True,
    help="The address for that.",
)
@click.option(
    "--ends-spools",
    is_flag=True,
    envvar="GAUNTLET_SHIPPER_ENDS_SPOOLS",
    show_envvar=True,
    help="When stopped, let no cohort wait for these spools, if nobody writes to them, as those that end with a pod.",
)
def ship(
    folder: Folder,
    spools: tuple[Path, ...],
    once: bool,
    orphans: bool,
    watch: float | None,
    ends_spools: bool,
    give_up: str | None,
    reason: str | None,
    metrics_port: int | None,
    metrics_host: str,
) -> None:
    """Move the prediction log from spool to store.

    `gauntlet serve` starts one by itself; this is for a spool whose service runs elsewhere. No cohort closes before
    every spool is shipped: --orphans collects those whose machine or process is gone (DIR: a folder of spools, or a
    volume with such folders; default --folder's own), and --give-up writes one off whose disk is lost too.
    """
    from service.logs import log_to_stderr
    from service.prediction_log.shipper import run_shipper
    from service.store import store_of

    log_to_stderr("shipper")

    if (give_up is None) != (reason is None):
        raise InvalidSetting("--give-up WORKER and --reason TEXT go together")
    if spools and not orphans:
        raise InvalidSetting("DIR goes with --orphans; without it the spools of --folder are shipped")
    if watch is not None and not orphans:
        raise InvalidSetting("--watch goes with --orphans; without it nobody else's spools are shipped")
    if give_up is not None and reason is not None:
        _give_up(folder, give_up, reason)
    elif orphans:
        _ship_orphans(folder, spools, watch_seconds=watch or 0.0)
    else:
        # In a pod it is started before scoring, which must not wait for a store that is away.
        store = store_of(folder, asks=once)
        run_shipper(folder.spool, store, once=once, metrics_port=metrics_port, metrics_host=metrics_host)
        if ends_spools and not once:
            _end_spools(folder, store)


@click.group()
def log() -> None:
    """Print the prediction log, count its outcomes, or let old rows leave it."""


@log.command("export")
@click.option("--format", "kind", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True)
@click.option("--since", metavar="TIME", help="Predictions made then or later, such as 2026-03-01T00:00:00Z.")
@click.option("--until", metavar="TIME", help="Predictions made before.")
@click.option("--experiment", "experiment_id", metavar="ID", help="Predictions of this experiment alone.")
@click.option("--as-of", metavar="TIME", help="Take outcomes that were observed by then for true. Default: now.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Written beside and then renamed. Default: stdout; Parquet needs a file.",
)
@in_folder
def log_export(
    folder: Folder,
    kind: Literal["jsonl", "parquet"],
    experiment_id: str | None,
    output: Path | None,
    **moments: str | None,
) -> None:
    """Print the predictions in the store with features, truth and treatments.

    One row a prediction, ordered by id. The truth is the judge's: the outcome that was observed last, not later than
    --as-of. What still lies in a spool is not in it.
    """
    from service.micros import to_micros
    from service.prediction_log.exporting import Wanted, export_file, export_jsonl
    from service.store import store_of

    since, until, as_of = (
        moment_of(moments[name], f"--{name.replace('_', '-')}") for name in ("since", "until", "as_of")
    )
    wanted = Wanted(as_of=to_micros(as_of or datetime.now(UTC)), since=since, until=until, experiment=experiment_id)
    if output is not None:
        count = export_file(store_of(folder), wanted, output, kind)
        click.echo(f"{count:,} predictions in {output}", err=True)
        return
    if kind == "parquet":
        raise InvalidSetting("Parquet cannot go to stdout; give --output FILE")
    try:
        export_jsonl(store_of(folder), wanted, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@log.command("retain")
@click.option("--days", type=click.IntRange(1), required=True, help="How old predictions may become, by their id.")
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help=_ARCHIVE_HELP)
@click.option("--dry-run", is_flag=True, help="Only say what would leave.")
@in_folder
@as_json_option
def log_retain(folder: Folder, days: int, archive: Path | None, dry_run: bool, as_json: bool) -> None:
    """Let predictions older than some days leave the store.

    With their outcomes and treatments, and into Parquet files that were read back before anything is deleted. Killed
    and started again, it goes on where it was. The evidence of a trial that the experiment file still names stays.
    """
    from service.prediction_log.retention import ids_on_trial, retain
    from service.scoring.experiment import read_experiment
    from service.store import store_of

    now = datetime.now(UTC)
    done = retain(
        store_of(folder),
        archive or folder.path / ARCHIVE,
        days=days,
        on_trial=ids_on_trial(read_experiment(folder.experiment), now=now),
        who=who(),
        now=now,
        dry_run=dry_run,
    )
    print_result(done, as_json, str)


@click.command()
@click.argument("customer")
@click.option(
    "--archive",
    "archives",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Where retention wrote to; repeatable. Default: DIR/archive.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be erased.")
@in_folder
@as_json_option
def forget(folder: Folder, customer: str, archives: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Erase CUSTOMER from store, spools, dead letters and archive.

    CUSTOMER is the id as it was sent to be scored; - reads it from stdin, so that no shell remembers it. A tombstone
    (an HMAC of the id) keeps shippers from bringing it back. Closed cohorts keep their counts. It says what it cannot
    reach, and when that expires.
    """
    from service.prediction_log.forgetting import Places
    from service.prediction_log.forgetting import forget as run
    from service.prediction_log.tombstones import key_file_of
    from service.store import store_of

    places = Places(
        spools=folder.spool,
        archives=archives or (folder.path / ARCHIVE,),
        key_file=key_file_of(folder.spool),
    )
    name = sys.stdin.readline().rstrip("\r\n") if customer == "-" else customer
    done = run(store_of(folder), name, places=places, who=who(), now=datetime.now(UTC), dry_run=dry_run)
    print_result(done, as_json, str)
    if not done.is_any:
        click.echo("nothing names this id: see whether it is spelled as it was sent to be scored", err=True)
    for line in _pinned(folder, name):
        click.echo(line, err=True)


def _give_up(folder: Folder, worker: str, reason: str) -> None:
    from service.prediction_log.shipper import give_up_spool
    from service.store import store_of

    give_up_spool(store_of(folder), worker, who=who(), reason=reason, now=datetime.now(UTC))
    click.echo(f"{worker} is given up: no cohort waits for it any more, and what it still held is missing for good")


def _end_spools(folder: Folder, store: Store) -> None:
    """A pod that ends takes its spool along: left as it is, it would keep every later cohort open.

    A shipper that is stopped alone, beside a process that scores, finds the spool locked and leaves it as it is.
    """
    from service.prediction_log.orphans import ship_orphans
    from service.prediction_log.tombstones import key_file_of

    if folder.spool.is_dir():
        key_file = key_file_of(folder.spool)
        for one in ship_orphans(store, [folder.spool], who="shipper", now=datetime.now(UTC), key_file=key_file):
            logging.getLogger("gauntlet.shipper").info("spool_ended", extra={"spool": one.worker, "state": one.state})


def _ship_orphans(folder: Folder, spools: tuple[Path, ...], *, watch_seconds: float) -> None:
    from service.prediction_log.orphans import ship_orphans
    from service.prediction_log.tombstones import key_file_of
    from service.store import store_of

    found = ship_orphans(
        store_of(folder),
        spools or (folder.spool,),
        who=who(),
        now=datetime.now(UTC),
        key_file=key_file_of(folder.spool),
        watch_seconds=watch_seconds,
    )
    for one in found:
        click.echo(str(one))
    if not found:
        click.echo("there are no spools")


def _pinned(folder: Folder, customer: str) -> list[str]:
    """Where the experiment file names a customer who is forgotten."""
    from service.scoring.experiment import read_experiment

    if not folder.experiment.exists():
        return []
    experiment = read_experiment(folder.experiment)
    phases = (experiment, *experiment.history)
    if not any(customer in pin.customers for phase in phases for pin in phase.pins):
        return []
    return [f"{folder.experiment} pins this customer; take it out of `pins`, and out of its history"]
