"""The command line: a table of contents of the system. A plane is imported only when its subcommand runs."""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from bentos.errors import PROBLEMS_SHOWN, GauntletError, InvalidSetting, Refused, WithProblems
from bentos.folder import Folder

if TYPE_CHECKING:
    from bentos.registry import Registry, Version
    from service.files.model import FileModel
    from service.http.keys import Scope
    from service.scoring.experiment import Experiment
    from service.store import Store

USE_CASES = Path(__file__).parent / "training" / "use_cases"
POLICIES = Path(__file__).parent / "validation" / "policies"
HOME = "gauntlet-home"
DEMO_HOME = "gauntlet-demo"
ARCHIVE = "archive"

GATE_ERROR = 3
BAD_INPUT = 2
INTERNAL_ERROR = 70


def _in(default: str) -> Callable[..., Any]:
    """Give a subcommand `--folder`, and hand it over as a `Folder`."""
    return click.option(
        "--folder",
        envvar="GAUNTLET_FOLDER",
        default=default,
        show_default=True,
        show_envvar=True,
        metavar="DIR",
        callback=lambda _context, _option, value: Folder(Path(value)),
        help="Where this installation keeps its things.",
    )


_in_folder = _in(HOME)


def _as_json(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


class _Percent(click.ParamType[float]):
    """A percentage from 0 to 100, with or without its sign; a fraction such as 0.25 is asked back, as it is a trap."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of percent."""
        text = str(value)
        try:
            percent = float(text.removesuffix("%"))
        except ValueError:
            percent = -1.0
        if not 0 <= percent <= 100:
            self.fail(f"{text!r} is no percentage from 0 to 100, such as 25", param, ctx)
        if 0 < percent < 1 and not text.endswith("%"):
            self.fail(f"{text} is less than one percent; say {percent * 100:g} or {text}%, as you mean", param, ctx)
        return percent


_online_policy = click.option(
    "--policy",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The rules of the verdict. Default: DIR/policy.yaml if it is there, else validation/policies/online.yaml.",
)


class _InOrder(click.Group):
    """Lists its commands in the order of a model's life, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which they are defined, the demo first."""
        del ctx
        return sorted(self.commands, key=lambda name: name != "demo")


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gauntlet", message="gauntlet %(version)s")
def cli() -> None:
    """Every model runs the gauntlet before it serves.

    A model's life, in order: train, gate, package, serve, experiment, verdict, promote or rollback. `gauntlet demo`
    walks all of it in two minutes. MLFLOW_TRACKING_URI names a tracking server; without it everything stays in
    --folder.
    """


@cli.command()
@click.option(
    "--data", metavar="FILE", help="A .csv or .parquet file, or `telco` for the public file. Default: synthetic."
)
@click.option(
    "--use-case",
    type=click.Path(path_type=Path),
    default=USE_CASES / "telco_churn.yaml",
    show_default="training/use_cases/telco_churn.yaml",
    metavar="FILE",
    help="What the columns are and what is predicted.",
)
@click.option(
    "--estimator",
    default="random_forest",
    show_default=True,
    help="random_forest, hist_gradient_boosting, logistic_regression, or a scikit-learn classifier's import path.",
)
@click.option(
    "--parameter", "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Of the estimator; repeatable."
)
@click.option("--parameters-file", type=click.Path(path_type=Path), metavar="FILE", help="The same as YAML; flags win.")
@click.option("--without", multiple=True, metavar="FEATURE", help="A feature the model must not read; repeatable.")
@click.option("--seed", default=0, show_default=True, help="Of everything random.")
@click.option("--rows", default=7000, show_default=True, help="How many synthetic customers, where there is no --data.")
@_in_folder
@_as_json
def train(folder: Folder, use_case: Path, parameters: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Fit a model and register it as candidate.

    The data is validated as a whole first; a fifth of the ids is held out for the gate; the ONNX form must answer as
    scikit-learn does. Everything is tracked in MLflow.
    """
    from training.terminal import describe
    from training.train import TrainRequest, read_parameters
    from training.train import train as run

    request = TrainRequest(
        use_case=use_case,
        data=options["data"],
        estimator=options["estimator"],
        parameters=read_parameters(parameters, options["parameters_file"]),
        without=options["without"],
        seed=options["seed"],
        rows=options["rows"],
    )
    trained = run(request, registry=_registry(folder), folder=folder, progress=_progress)
    _print(trained, as_json, describe)
    _suggest(folder, f"gate models:/{trained.version.name}/{trained.version.number}")


@cli.command()
@click.argument("candidate", default="models:/churn@candidate")
@click.option(
    "--against", metavar="MODEL", help="The champion to compare with. Default: the alias champion, if there is one."
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    default=POLICIES / "baseline.yaml",
    show_default="validation/policies/baseline.yaml",
    metavar="FILE",
    help="The rules of the gate.",
)
@_in_folder
@_as_json
def gate(candidate: str, against: str | None, policy: Path, folder: Folder, as_json: bool) -> None:
    """Judge a candidate on its untouched holdout.

    Performance, fairness, robustness to noise, and McNemar's test against the champion, by the rules of a policy.

    CANDIDATE is models:/NAME@ALIAS, models:/NAME/NUMBER or models:/NAME/latest. A PASS is blessed and becomes
    challenger. Exit code: 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 3 ERROR (anything that kept the gate from judging).
    """
    from validation.gate.run import run_gate
    from validation.gate.terminal import render

    report = run_gate(
        candidate,
        against=against,
        policy_path=policy,
        registry=_registry(folder),
        folder=folder,
        now=datetime.now(UTC),
        progress=_progress,
    )
    _print(report, as_json, render)
    sys.exit(report.exit_code)


@cli.command()
@click.option("--champion", default="models:/churn@champion", show_default=True, metavar="MODEL")
@click.option("--challenger", "challengers", multiple=True, metavar="MODEL", help="Repeatable. Default: none.")
@_in_folder
@_as_json
def package(champion: str, challengers: tuple[str, ...], folder: Folder, as_json: bool) -> None:
    """Pack champion and challengers into one Bento.

    A model without a blessing that holds is refused; `gauntlet gate` gives one.
    """
    from bentos.packing import package as run

    registry = _registry(folder)
    packed = run(
        registry,
        champion=registry.resolve(champion),
        challengers=[registry.resolve(name) for name in challengers],
        folder=folder,
        now=datetime.now(UTC),
    )
    _print(packed, as_json, str)
    _suggest(folder, "serve")


@cli.command()
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
@_online_policy
@_in_folder
def serve(
    host: str, port: int, admin_port: int | None, workers: int, only: str | None, policy: Path | None, folder: Folder
) -> None:
    """Serve the packed Bento over HTTP.

    Beside scoring run the shipper, which moves the prediction log to the store, and the judge. Where --host is no
    loopback address, clients must show API keys: `gauntlet keys add` makes them.
    """
    from service.supervisor import serve as run

    sys.exit(
        run(
            folder,
            host=host,
            port=port,
            admin_port=admin_port,
            workers=workers,
            policy=_rules(policy, folder),
            scoring_only=only == "scoring",
        )
    )


@cli.group()
def keys() -> None:
    """Give API keys to clients, and take them away.

    Only their SHA-256 is kept, in DIR/keys; the service rereads it while it serves. Scopes: score, outcomes, admin.
    """


_SCOPE = click.argument("scope", type=click.Choice(["score", "outcomes", "admin"]))


@keys.command("add")
@_SCOPE
@click.argument("client")
@_in_folder
def keys_add(scope: Scope, client: str, folder: Folder) -> None:
    """Make a key for CLIENT and print it, once.

    A client may have several, so that one can be replaced without a gap: add, hand over, revoke --all-but-newest.
    """
    from service.http.keys import add_key

    click.echo(add_key(folder.keys, scope, client))


@keys.command("list")
@_in_folder
def keys_list(folder: Folder) -> None:
    """Print who has keys: client, scopes, and the first digits of the key's SHA-256."""
    from service.http.keys import read_keys

    for digest, client in read_keys(folder.keys).items():
        click.echo(f"{client.name:<20} {','.join(sorted(client.scopes)):<20} {digest.hex()[:12]}")


@keys.command("revoke")
@_SCOPE
@click.argument("client")
@click.option("--all-but-newest", is_flag=True, help="Keep the key that was added last.")
@_in_folder
def keys_revoke(scope: Scope, client: str, all_but_newest: bool, folder: Folder) -> None:
    """Take the keys of CLIENT away."""
    from service.http.keys import revoke_keys

    gone = revoke_keys(folder.keys, scope, client, all_but_newest=all_but_newest)
    click.echo(f"{gone} key{'' if gone == 1 else 's'} of {client} taken away from {scope}")


@cli.command("score-file")
@click.argument("input_file", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--shard",
    envvar="GAUNTLET_SHARD",
    default="0/1",
    show_default=True,
    show_envvar=True,
    metavar="INDEX/COUNT",
    help="Which share of the rows, from 0; the index may be a variable's name, as in $JOB_COMPLETION_INDEX/8.",
)
@click.option("--model", metavar="MODEL", help="A blessed model of the registry. Default: the champion that is served.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="A column of IN to carry over to OUT; repeatable.")
@click.option(
    "--bad-rows",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Set bad rows aside in this .jsonl file, with reasons, and go on. Default: the first ones end it.",
)
@click.option("--restart", is_flag=True, help="Score anew what is done or was begun with another input or model.")
@_in_folder
@_as_json
def score_file(folder: Folder, input_file: Path, model: str | None, shard: str, as_json: bool, **options: Any) -> None:
    """Score a .parquet, .csv or .csv.gz file.

    OUT is a .parquet file, or with several shards a folder of parts. Killed and started again, it goes on where it was.
    Rows are checked as over HTTP; their answers are in no prediction log.
    """
    from service.files.asking import Request
    from service.files.scoring import score_file as run
    from service.files.sharing import parse_shard

    request = Request(input=input_file, shard=parse_shard(shard, os.environ), **options)
    _print(run(request, _file_model(folder, model), progress=_progress), as_json, str)


@cli.group()
def experiment() -> None:
    """See or change who is on trial, and its share.

    What these write is the experiment file, which the service rereads while it serves.
    """


@experiment.command("show")
@_in_folder
def experiment_show(folder: Folder) -> None:
    """Print the experiment file as it stands."""
    from service.scoring.experiment import dump_experiment, read_experiment

    click.echo(dump_experiment(read_experiment(folder.experiment)).decode(), nl=False)


@experiment.command("shadow")
@click.argument("challengers", nargs=-1, metavar="[CHALLENGER]...")
@_in_folder
def experiment_shadow(challengers: tuple[str, ...], folder: Folder) -> None:
    """Score challengers in the shadow of live traffic.

    It begins a new experiment. A CHALLENGER's answers are logged, not returned; it must be in the Bento that is served.
    Default: models:/churn@challenger. Customers are divided evenly among several.
    """
    from service.scoring.experiment import LEAD, new_salt, start_shadow

    versions = [_registry(folder).resolve(name) for name in challengers or ("models:/churn@challenger",)]
    for version in versions:
        _check_packed(folder, version)
    digests = [version.digest for version in versions]
    _change(folder, lambda old, now: start_shadow(old, *digests, now=now, salt=new_salt(), lead=LEAD))


@experiment.command("split")
@click.argument("percent", type=_Percent())
@_in_folder
def experiment_split(percent: float, folder: Folder) -> None:
    """Return the challenger's answer to PERCENT of customers, such as 25.

    Customers keep their variant; raising the share moves customers to the challenger only.
    """
    from service.scoring.experiment import LEAD, set_split

    _change(folder, lambda old, now: set_split(old, percent / 100, now=now, lead=LEAD))


@experiment.command("shares")
@click.option("--sample", type=_Percent(), help="Customers who take part in the trial at all.")
@click.option("--holdout", type=_Percent(), help="Customers who never meet a challenger, in any experiment; 0 ends it.")
@click.option("--no-treatment", type=_Percent(), help="Customers from whom actions are withheld; 0 ends it.")
@_in_folder
def experiment_shares(folder: Folder, **shares: float | None) -> None:
    """Set which percentage of customers takes part, is held out, or is not treated.

    Each share is drawn by a hash of its own and is sticky. What is not given stays as it is.
    """
    from service.scoring.experiment import LEAD, set_shares

    given = {name: percent / 100 for name, percent in shares.items() if percent is not None}
    if not given:
        raise InvalidSetting("give --sample, --holdout or --no-treatment, each a percentage of customers")
    _change(folder, lambda old, now: set_shares(old, given, now=now, lead=LEAD))


@experiment.command("off")
@_in_folder
def experiment_off(folder: Folder) -> None:
    """Let the champion answer alone, at once."""
    from service.scoring.experiment import LEAD, stop

    _change(folder, lambda old, now: stop(old, now=now, lead=LEAD))


_AS_OF = click.option(
    "--as-of",
    metavar="TIME",
    help="Look from a later moment, such as 2026-03-01T00:00:00Z: provisional, nothing is closed.",
)


_CHALLENGER = click.option("--challenger", metavar="MODEL", help="Which one, where several are on trial.")


@cli.command()
@_CHALLENGER
@_AS_OF
@_online_policy
@_in_folder
@_as_json
def verdict(challenger: str | None, as_of: str | None, policy: Path | None, folder: Folder, as_json: bool) -> None:
    """Say what the evidence allows, with reasons.

    PROMOTE, ROLLBACK, KEEP_COLLECTING or INVALID. It may be asked as often as one likes: the answer stays valid.
    """
    from validation.judge.looking import look
    from validation.judge.terminal import render, to_json

    found = look(
        folder,
        store=_store(folder),
        policy_path=_rules(policy, folder),
        as_of=_moment(as_of),
        now=datetime.now(UTC),
        challenger=_digest_of(challenger, folder),
    )
    click.echo(to_json(found).decode() if as_json else render(found, color=sys.stdout.isatty()))


@cli.command()
@click.argument("model", required=False)
@click.option(
    "--bootstrap",
    is_flag=True,
    help="Make MODEL (default models:/churn@challenger) the first champion; refused where there is one.",
)
@_AS_OF
@_online_policy
@_in_folder
def promote(model: str | None, bootstrap: bool, as_of: str | None, policy: Path | None, folder: Folder) -> None:
    """Make the challenger champion, if that is allowed.

    The verdict must be PROMOTE and the challenger's blessing must hold. Roles swap in the experiment file; the
    registry's aliases follow.

    The experiment file says who the challenger is; another MODEL is refused. With --bootstrap MODEL is the first
    champion.
    """
    from validation.judge.audit import describe
    from validation.judge.promotion import bootstrap_champion
    from validation.judge.promotion import promote as run

    registry, store = _registry(folder), _store(folder)
    if bootstrap:
        version = registry.resolve(model or "models:/churn@challenger")
        click.echo(describe(bootstrap_champion(registry, version, store=store, who=_who(), now=datetime.now(UTC))))
        return
    options = _change_options(folder, as_of, policy)
    click.echo(describe(run(folder, store=store, registry=registry, challenger=_digest_of(model, folder), **options)))


@cli.command()
@click.option("--reason", help="Roll back without waiting for the verdict; always allowed, and recorded.")
@_CHALLENGER
@_AS_OF
@_online_policy
@_in_folder
def rollback(
    reason: str | None, challenger: str | None, as_of: str | None, policy: Path | None, folder: Folder
) -> None:
    """End the challenger's trial. Where several are on trial, the others go on.

    On a verdict of ROLLBACK, or at any time for a --reason of your own.
    """
    from validation.judge.audit import describe
    from validation.judge.promotion import rollback as run

    registry, store = _registry(folder), _store(folder)
    options = _change_options(folder, as_of, policy)
    digest = _digest_of(challenger, folder)
    click.echo(describe(run(folder, store=store, registry=registry, reason=reason, challenger=digest, **options)))


@cli.command()
@click.argument("spools", nargs=-1, metavar="[DIR]...", type=click.Path(path_type=Path))
@_in_folder
@click.option("--once", is_flag=True, help="Ship what is there, and end.")
@click.option("--orphans", is_flag=True, help="Ship the spools in each DIR whose owner is gone to their end, and end.")
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
def ship(
    folder: Folder,
    spools: tuple[Path, ...],
    once: bool,
    orphans: bool,
    give_up: str | None,
    reason: str | None,
    metrics_port: int | None,
    metrics_host: str,
) -> None:
    """Move the prediction log from spool to store.

    `gauntlet serve` starts one by itself; this is for a spool whose service runs elsewhere. No cohort closes before
    every spool is shipped: --orphans collects those whose machine or process is gone (DIR: a folder of spools; default
    --folder's own), and --give-up writes one off whose disk is lost too.
    """
    from service.logs import log_to_stderr
    from service.prediction_log.shipper import run_shipper

    log_to_stderr("shipper")

    if (give_up is None) != (reason is None):
        raise InvalidSetting("--give-up WORKER and --reason TEXT go together")
    if spools and not orphans:
        raise InvalidSetting("DIR goes with --orphans; without it the spools of --folder are shipped")
    if give_up is not None and reason is not None:
        _give_up(folder, give_up, reason)
    elif orphans:
        _ship_orphans(folder, spools)
    else:
        run_shipper(folder.spool, _store(folder), once=once, metrics_port=metrics_port, metrics_host=metrics_host)


@cli.group()
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
@_in_folder
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

    since, until, as_of = (
        _moment(moments[name], f"--{name.replace('_', '-')}") for name in ("since", "until", "as_of")
    )
    wanted = Wanted(as_of=to_micros(as_of or datetime.now(UTC)), since=since, until=until, experiment=experiment_id)
    if output is not None:
        count = export_file(_store(folder), wanted, output, kind)
        click.echo(f"{count:,} predictions in {output}", err=True)
        return
    if kind == "parquet":
        raise InvalidSetting("Parquet cannot go to stdout; give --output FILE")
    try:
        export_jsonl(_store(folder), wanted, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@log.command("outcomes")
@click.option("--experiment", "experiment_id", metavar="ID", help="Outcomes of this experiment's predictions alone.")
@click.option("--unknown", is_flag=True, help="Print the unknown prediction ids instead, one a line.")
@_online_policy
@_in_folder
@_as_json
def log_outcomes(folder: Folder, experiment_id: str | None, unknown: bool, policy: Path | None, as_json: bool) -> None:
    """Count the outcomes in the store, and what is odd about them.

    Early, contradicting and repeated ones, and those of unknown prediction ids: such an id is waited for as long as the
    policy's maturity window, and is reported from then on. Every outcome that was told is kept.
    """
    from service.micros import to_micros
    from service.store.reports import outcome_report, unknown_ids
    from validation.judge.policy import load_policy

    if unknown and (experiment_id is not None or as_json):
        raise InvalidSetting("--unknown goes with neither --experiment nor --json; an unknown id is of no experiment")
    maturity = load_policy(_rules(policy, folder)).maturity_window
    now = to_micros(datetime.now(UTC))
    if unknown:
        for one in unknown_ids(_store(folder), maturity=maturity, now=now):
            click.echo(one)
        return
    _print(outcome_report(_store(folder), experiment_id, maturity=maturity, now=now), as_json, str)


_ARCHIVE_HELP = "Where retention writes Parquet files, one a table and month. Default: DIR/archive."


@log.command("retain")
@click.option("--days", type=click.IntRange(1), required=True, help="How old predictions may become, by their id.")
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help=_ARCHIVE_HELP)
@click.option("--dry-run", is_flag=True, help="Only say what would leave.")
@_in_folder
@_as_json
def log_retain(folder: Folder, days: int, archive: Path | None, dry_run: bool, as_json: bool) -> None:
    """Let predictions older than some days leave the store.

    With their outcomes and treatments, and into Parquet files that were read back before anything is deleted. Killed
    and started again, it goes on where it was. The evidence of a trial that the experiment file still names stays.
    """
    from service.prediction_log.retention import ids_on_trial, retain
    from service.scoring.experiment import read_experiment

    now = datetime.now(UTC)
    done = retain(
        _store(folder),
        archive or folder.path / ARCHIVE,
        days=days,
        on_trial=ids_on_trial(read_experiment(folder.experiment), now=now),
        who=_who(),
        now=now,
        dry_run=dry_run,
    )
    _print(done, as_json, str)


@cli.command()
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
@_in_folder
@_as_json
def forget(folder: Folder, customer: str, archives: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Erase CUSTOMER from store, spools, dead letters and archive.

    CUSTOMER is the id as it was sent to be scored; - reads it from stdin, so that no shell remembers it. A tombstone
    (an HMAC of the id) keeps shippers from bringing it back. Closed cohorts keep their counts. It says what it cannot
    reach, and when that expires.
    """
    from service.prediction_log.forgetting import Places
    from service.prediction_log.forgetting import forget as run
    from service.prediction_log.tombstones import key_file_of

    places = Places(
        spools=folder.spool,
        archives=archives or (folder.path / ARCHIVE,),
        key_file=key_file_of(folder.spool),
    )
    name = sys.stdin.readline().rstrip("\r\n") if customer == "-" else customer
    done = run(_store(folder), name, places=places, who=_who(), now=datetime.now(UTC), dry_run=dry_run)
    _print(done, as_json, str)
    for line in _pinned(folder, name):
        click.echo(line, err=True)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3002, show_default=True)
@_online_policy
@_in_folder
def judge(host: str, port: int, policy: Path | None, folder: Folder) -> None:
    """Close cohorts and judge, again and again.

    Answers /v1/experiment. `gauntlet serve` starts one by itself; this is for a store that others write to.
    """
    from service.logs import log_to_stderr
    from validation.judge.process import run_judge

    log_to_stderr("judge")

    run_judge(folder, store=_store(folder), policy_path=_rules(policy, folder), host=host, port=port)


@cli.command()
@click.option(
    "--data",
    metavar="FILE",
    help="A .csv or .parquet file in the Telco schema, or `telco`. Default: synthetic customers.",
)
@click.option(
    "--seed", default=0, show_default=True, help="The same seed gives the same decisions on the same evidence."
)
@click.option("--port", default=0, help="Where the service listens. Default: a free port; with --keep-serving 3000.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write every number that is printed.",
)
@click.option("--keep-serving", is_flag=True, help="Go on serving at the end, until Ctrl-C.")
@_in(DEMO_HOME)
def demo(folder: Folder, **options: Any) -> None:
    """Walk a model's whole life on this machine.

    On real parts and in about two minutes: train, gate, package, serve, shadow, split, verdict, promote, roll back.
    """
    from service.demo.run import run_demo

    sys.exit(
        run_demo(
            folder,
            use_case=USE_CASES / "telco_churn.yaml",
            gate_policy=POLICIES / "baseline.yaml",
            online_policy=POLICIES / "demo.yaml",
            **options,
        )
    )


def _give_up(folder: Folder, worker: str, reason: str) -> None:
    from service.prediction_log.shipper import give_up_spool

    give_up_spool(_store(folder), worker, who=_who(), reason=reason, now=datetime.now(UTC))
    click.echo(f"{worker} is given up: no cohort waits for it any more, and what it still held is missing for good")


def _ship_orphans(folder: Folder, spools: tuple[Path, ...]) -> None:
    from service.prediction_log.orphans import ship_orphans
    from service.prediction_log.tombstones import key_file_of

    found = ship_orphans(
        _store(folder),
        spools or (folder.spool,),
        who=_who(),
        now=datetime.now(UTC),
        key_file=key_file_of(folder.spool),
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


def _file_model(folder: Folder, uri: str | None) -> FileModel:
    """The model that scores a file; only one that is named needs the registry."""
    from service.files.model import champion_of, registered
    from service.scoring.models import Identity

    if uri is None:
        return champion_of(folder)
    registry = _registry(folder)
    version = registry.resolve(uri)
    with tempfile.TemporaryDirectory(prefix="gauntlet-model-") as beside:
        artifact = registry.fetch(version, Path(beside) / "artifact")
        identity = Identity(name=version.name, version=version.number, digest=artifact.digest)
        return registered(identity, artifact)


def _check_packed(folder: Folder, version: Version) -> None:
    """A challenger that the Bento does not carry would enrol nobody, and nobody would notice."""
    from bentos.roles import ROLES, read_roles

    carried = read_roles(folder.bento / "src" / ROLES).models
    if version.digest not in [model.digest for model in carried]:
        raise Refused(
            f"{version} is not in the Bento, which carries version {', '.join(model.version for model in carried)}; "
            f"run `gauntlet package --challenger {version.uri}` and start `gauntlet serve` again"
        )


def _digest_of(model: str | None, folder: Folder) -> str | None:
    """The digest of a model that is on trial; None where none is named."""
    from service.scoring.experiment import read_experiment

    if model is None:
        return None
    version = _registry(folder).resolve(model)
    if version.digest not in [digest for digest, _ in read_experiment(folder.experiment).challengers]:
        raise Refused(f"{version} is not on trial; leave it out to mean the challenger that is")
    return version.digest


def _suggest(folder: Folder, *commands: str) -> None:
    """What to type next, where people read it."""
    where = "" if str(folder.path) == HOME else f" --folder {folder.path}"
    for command in commands:
        click.echo(f"  next: gauntlet {command}{where}", err=True)


def _registry(folder: Folder) -> Registry:
    from bentos.registry import open_registry

    return open_registry(folder, os.environ.get("MLFLOW_TRACKING_URI"))


def _store(folder: Folder) -> Store:
    from service.store import open_store

    folder.path.mkdir(parents=True, exist_ok=True)
    return open_store(os.environ.get("GAUNTLET_STORE_URL") or folder.store_url)


def _rules(policy: Path | None, folder: Folder) -> Path:
    """The online policy: the one that was named, else the folder's own, else the shipped one."""
    if policy is not None:
        return policy
    return folder.policy if folder.policy.exists() else POLICIES / "online.yaml"


def _moment(text: str | None, option: str = "--as-of") -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise InvalidSetting(f"{option} is {text!r}; it must be a time such as 2026-03-01T00:00:00Z") from e
    if moment.tzinfo is None:
        raise InvalidSetting(f"{option} is {text!r}; it must have a time zone, such as 2026-03-01T00:00:00Z")
    return moment


def _change_options(folder: Folder, as_of: str | None, policy: Path | None) -> dict[str, Any]:
    from bentos.roles import ROLES, read_roles
    from service.scoring.experiment import LEAD

    return {
        "model": read_roles(folder.bento / "src" / ROLES).champion.name,
        "policy_path": _rules(policy, folder),
        "who": _who(),
        "now": datetime.now(UTC),
        "lead": LEAD,
        "as_of": _moment(as_of),
    }


def _who() -> str:
    return os.environ.get("GAUNTLET_WHO") or getpass.getuser()


def _change(folder: Folder, change: Callable[[Experiment, datetime], Experiment]) -> None:
    """Write the next revision of the experiment file, and say what it says."""
    import msgspec

    from service.scoring.experiment import changing, dump_experiment, read_experiment, write_experiment

    with changing(folder.experiment):
        after = change(read_experiment(folder.experiment), datetime.now(UTC))
        write_experiment(folder.experiment, after)
    click.echo(dump_experiment(msgspec.structs.replace(after, history=())).decode(), nl=False)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"… {text}", err=True)


def _print(result: Any, as_json: bool, render: Callable[[Any], Any]) -> None:
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(result, enc_hook=str), indent=2).decode())
        return
    rendered = render(result)
    if isinstance(rendered, str):
        click.echo(rendered)
        return
    from rich.console import Console

    Console().print(rendered)


def _explain(error: Exception) -> str:
    """An error as people read it: several problems one a line, and never more than a screen of them."""
    problems = error.problems if isinstance(error, WithProblems) else ()
    if not isinstance(error, WithProblems) or len(problems) < 2:
        return str(error)
    lines = [
        f"{error.what}: {len(problems)} problems (rows are counted from 0)",
        *(str(p) for p in problems[:PROBLEMS_SHOWN]),
    ]
    if len(problems) > PROBLEMS_SHOWN:
        lines.append(f"and {len(problems) - PROBLEMS_SHOWN} more")
    return "\n  ".join(lines)


def main() -> NoReturn:
    """Run the command line; every foreseen error is one line on stderr and exit code 2 (the gate: 3)."""
    is_gate = "gate" in sys.argv[1:2]
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn.utils.parallel")
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.ClickException as e:
        e.show()
        sys.exit(GATE_ERROR if is_gate else BAD_INPUT)
    except (GauntletError, OSError) as e:
        click.echo(f"gauntlet: {_explain(e)}", err=True)
        sys.exit(GATE_ERROR if is_gate else BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as e:
        if os.environ.get("GAUNTLET_DEBUG"):
            raise
        click.echo(f"gauntlet: internal error: {type(e).__name__}: {e} (GAUNTLET_DEBUG=1 shows where)", err=True)
        sys.exit(GATE_ERROR if is_gate else INTERNAL_ERROR)


if __name__ == "__main__":
    main()
