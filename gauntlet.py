"""The command line: a table of contents of the system. A plane is imported only when its subcommand runs.

Each plane's own commands lie in its `commands.py`; here are those in which planes meet.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bentos.command_line import (
    POLICIES,
    Percent,
    as_json_option,
    explain,
    folder_option,
    in_folder,
    print_result,
    progress,
    suggest,
)
from bentos.errors import GauntletError, InvalidSetting, NotBlessed, Refused
from bentos.folder import Folder
from bentos.images import commands as images
from bentos.last_words import leave
from k8s import commands as control
from service import commands as data_plane
from training import commands as training
from validation import commands as judgement
from validation.gate import commands as gating
from validation.planning import commands as planning

if TYPE_CHECKING:
    from bentos.registry import Version
    from service.files.model import FileModel
    from service.scoring.experiment import Experiment

DEMO_HOME = "gauntlet-demo"

GATE_ERROR = 3
BAD_INPUT = 2
OURS = ("bentos", "grafana", "k8s", "service", "training", "validation")
INTERNAL_ERROR = 70


class _InOrder(click.Group):
    """Lists its commands in the order of a model's life, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which they were added."""
        del ctx
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gauntlet", message="gauntlet %(version)s")
def cli() -> None:
    """Every model runs the gauntlet before it serves.

    A model's life, in order: train, gate, package, serve, experiment, verdict, promote or rollback. `gauntlet demo`
    walks all of it in a minute or two. MLFLOW_TRACKING_URI names a tracking server; without it everything stays in
    --folder.
    """


@click.command()
@click.option("--champion", default="models:/churn@champion", show_default=True, metavar="MODEL")
@click.option("--challenger", "challengers", multiple=True, metavar="MODEL", help="Repeatable. Default: none.")
@in_folder
@as_json_option
def package(champion: str, challengers: tuple[str, ...], folder: Folder, as_json: bool) -> None:
    """Pack champion and challengers into one Bento.

    A model without a blessing that holds is refused; `gauntlet gate` gives one. A challenger that is blessed for the
    shadow alone is packed for the shadow.
    """
    from bentos.packing import package as run
    from bentos.registry import registry_of
    from bentos.revocations import trust_of

    registry = registry_of(folder)
    packed = run(
        registry,
        champion=registry.resolve(champion),
        challengers=[registry.resolve(name) for name in challengers],
        folder=folder,
        now=datetime.now(UTC),
        trust=trust_of(folder, os.environ),
    )
    print_result(packed, as_json, str)
    suggest(folder, "serve")


@click.command("score-file")
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
    help="Set bad rows aside in this .jsonl file, with reasons, and go on; a CSV line with too many or too few values "
    "ends it all the same. Default: the first bad rows end it.",
)
@click.option("--restart", is_flag=True, help="Score anew what is done or was begun with another input or model.")
@in_folder
@as_json_option
def score_file(folder: Folder, input_file: Path, model: str | None, shard: str, as_json: bool, **options: Any) -> None:
    """Score a .parquet, .csv or .csv.gz file.

    OUT is a .parquet file, or with several shards a folder of parts. Killed and started again, it goes on where it was.
    Rows are checked as over HTTP; their answers are in no prediction log.
    """
    from service.files.asking import Request
    from service.files.scoring import score_file as run
    from service.files.sharing import parse_shard

    request = Request(input=input_file, shard=parse_shard(shard, os.environ), **options)
    print_result(run(request, _file_model(folder, model), progress=progress), as_json, str)


@click.group()
def experiment() -> None:
    """See or change who is on trial, and its share.

    What these write is the experiment file, which the service rereads while it serves.
    """


def _anywhere(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the experiment is: in a folder, or in a namespace of the cluster that the kubeconfig's context names."""

    @wraps(command)
    def run(*, on_cluster: bool, namespace: str, **options: Any) -> Any:
        return command(**options, namespace=namespace if on_cluster else None)

    on_cluster = click.option("--on-cluster", is_flag=True, help="Of the cluster that the kubeconfig's context names.")
    namespace = click.option(
        "--namespace", default="gauntlet", show_default=True, help="With --on-cluster: where the installation is."
    )
    found: Callable[..., Any] = in_folder(on_cluster(namespace(run)))
    return found


@experiment.command("show")
@_anywhere
def experiment_show(folder: Folder, namespace: str | None) -> None:
    """Print the experiment file as it stands."""
    from service.scoring.experiment import dump_experiment, read_experiment

    if namespace is not None:
        from k8s.experiment_map import current_cluster, read_on

        found = read_on(current_cluster(namespace))
    else:
        found = read_experiment(folder.experiment)
    click.echo(dump_experiment(found).decode(), nl=False)


@experiment.command("shadow")
@click.argument("challengers", nargs=-1, metavar="[CHALLENGER]...")
@_anywhere
def experiment_shadow(challengers: tuple[str, ...], folder: Folder, namespace: str | None) -> None:
    """Score challengers in the shadow of live traffic.

    It begins a new experiment. A CHALLENGER's answers are logged, not returned; it must be in the Bento that is served.
    Default: models:/churn@challenger. Customers are divided evenly among several.
    """
    from bentos.registry import registry_of
    from service.scoring.experiment import new_salt, start_shadow

    versions = [registry_of(folder).resolve(name) for name in challengers or ("models:/churn@challenger",)]
    for version in versions:
        if namespace is None:  # on a cluster the pods themselves refuse what they do not carry, and it is told
            _check_packed(folder, version)
            _check_not_revoked(folder, version)
    digests = [version.digest for version in versions]
    salt = new_salt()
    _change(folder, namespace, lambda old, now, lead: start_shadow(old, *digests, now=now, salt=salt, lead=lead))


@experiment.command("split")
@click.argument("percent", type=Percent())
@_anywhere
def experiment_split(percent: float, folder: Folder, namespace: str | None) -> None:
    """Return the challenger's answer to PERCENT of customers, such as 25.

    Customers keep their variant; raising the share moves customers to the challenger only.
    """
    from service.scoring.experiment import read_experiment, set_split

    if namespace is None:
        _check_may_split(folder, [digest for digest, _ in read_experiment(folder.experiment).challengers])
    _change(folder, namespace, lambda old, now, lead: set_split(old, percent / 100, now=now, lead=lead))


@experiment.command("shares")
@click.option("--sample", type=Percent(), help="Customers who take part in the trial at all.")
@click.option("--holdout", type=Percent(), help="Customers who never meet a challenger, in any experiment; 0 ends it.")
@click.option("--no-treatment", type=Percent(), help="Customers from whom actions are withheld; 0 ends it.")
@_anywhere
def experiment_shares(folder: Folder, namespace: str | None, **shares: float | None) -> None:
    """Set which percentage of customers takes part, is held out, or is not treated.

    Each share is drawn by a hash of its own and is sticky. What is not given stays as it is.
    """
    from service.scoring.experiment import set_shares

    given = {name: percent / 100 for name, percent in shares.items() if percent is not None}
    if not given:
        raise InvalidSetting("give --sample, --holdout or --no-treatment, each a percentage of customers")
    _change(folder, namespace, lambda old, now, lead: set_shares(old, given, now=now, lead=lead))


@experiment.command("off")
@_anywhere
def experiment_off(folder: Folder, namespace: str | None) -> None:
    """Let the champion answer alone, at once."""
    from service.scoring.experiment import stop

    # Nobody waits for the slowest replica here: each lets go as soon as it has read the file.
    _change(
        folder, namespace, lambda old, now, lead: stop(old, now=now, lead=lead if namespace is None else timedelta(0))
    )


@click.command()
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
@folder_option(DEMO_HOME)
def demo(folder: Folder, **options: Any) -> None:
    """Walk a model's whole life on this machine.

    On real parts and in a minute or two: train, gate, package, serve, shadow, split, verdict, promote, roll back.
    """
    from service.demo.run import run_demo

    sys.exit(
        run_demo(
            folder,
            use_case=training.USE_CASES / "telco_churn.yaml",
            gate_policy=POLICIES / "baseline.yaml",
            online_policy=POLICIES / "demo.yaml",
            **options,
        )
    )


for command in (
    demo,
    training.train,
    gating.gate,
    judgement.blessing,
    package,
    data_plane.serve,
    data_plane.keys,
    score_file,
    experiment,
    planning.plan,
    judgement.verdict,
    planning.disagreements,
    judgement.promote,
    judgement.rollback,
    data_plane.ship,
    data_plane.log,
    data_plane.forget,
    judgement.judge,
    images.image,
    control.secrets,
):
    cli.add_command(command)
data_plane.log.add_command(judgement.outcomes)


def _file_model(folder: Folder, uri: str | None) -> FileModel:
    """The model that scores a file; only one that is named needs the registry."""
    from bentos.blessings import expected_of, trusting
    from bentos.registry import registry_of
    from bentos.revocations import trust_of
    from service.files.model import champion_of, registered
    from service.scoring.models import Identity

    if uri is None:
        return champion_of(folder)
    registry = registry_of(folder)
    version = registry.resolve(uri)
    trust = None if "champion" in version.aliases else trusting(trust_of(folder, os.environ), version)
    with tempfile.TemporaryDirectory(prefix="gauntlet-model-") as beside:
        artifact = registry.fetch(version, Path(beside) / "artifact")
        identity = Identity(name=version.name, version=version.number, digest=artifact.digest)
        return registered(identity, artifact, trust=trust, expected=expected_of(version))


def _check_packed(folder: Folder, version: Version) -> None:
    """A challenger that the Bento does not carry would enrol nobody, and nobody would notice."""
    from bentos.roles import ROLES, read_roles

    carried = read_roles(folder.bento / "src" / ROLES).models
    if version.digest not in [model.digest for model in carried]:
        raise Refused(
            f"{version} is not in the Bento, which carries version {', '.join(model.version for model in carried)}; "
            f"run `gauntlet package --challenger {version.uri}` and start `gauntlet serve` again"
        )


def _check_not_revoked(folder: Folder, version: Version) -> None:
    from bentos.blessings import trusting
    from bentos.revocations import trust_of

    told = trusting(trust_of(folder, os.environ), version).revoked.get(_blessing_in(folder, version.digest) or "")
    if told is not None:
        raise NotBlessed(f"{version} must not be tried: its blessing was revoked {told}")


def _check_may_split(folder: Folder, challengers: Sequence[str]) -> None:
    """A split needs a blessing that reaches so far and was not revoked; the Bento knows, so no registry is asked."""
    from bentos.revocations import trust_of
    from bentos.roles import ROLES, read_roles

    revoked = trust_of(folder, os.environ).revoked
    for model in read_roles(folder.bento / "src" / ROLES).models:
        name = f"{model.name} version {model.version}"
        if model.digest in challengers and model.scope == "shadow":
            raise NotBlessed(f"{name} must not be given a split: it is blessed for the shadow only")
        told = revoked.get(model.blessing or "")
        if model.digest in challengers and told is not None:
            raise NotBlessed(f"{name} must not be given a split: its blessing was revoked {told}")


def _blessing_in(folder: Folder, digest: str) -> str | None:
    """The id of the blessing under which the Bento carries a model."""
    from bentos.roles import ROLES, read_roles

    carried = read_roles(folder.bento / "src" / ROLES).models
    return next((model.blessing for model in carried if model.digest == digest), None)


def _change(folder: Folder, namespace: str | None, change: Callable[..., Experiment]) -> None:
    """Write the next revision of the experiment, and say what it says.

    Args:
        folder: Whose file it is.
        namespace: On the cluster, whose ConfigMap; None: the folder's file.
        change: From the experiment as it is, now, and how long every replica needs to read it, to the next one.
    """
    import msgspec

    from service.scoring.experiment import LEAD, changing, dump_experiment, read_experiment, write_experiment

    if namespace is not None:
        from k8s.experiment_map import LEAD as CLUSTER_LEAD
        from k8s.experiment_map import change_on, current_cluster

        changed = change_on(current_cluster(namespace), lambda old, now: change(old, now, CLUSTER_LEAD), told=progress)
        after = changed.experiment
        click.echo(f"all {len(changed.pods)} pods answer by revision {after.revision}; the same by hand:", err=True)
        for line in changed.commands:
            click.echo(f"  {line}", err=True)
    else:
        with changing(folder.experiment):
            after = change(read_experiment(folder.experiment), datetime.now(UTC), LEAD)
            write_experiment(folder.experiment, after)
    click.echo(dump_experiment(msgspec.structs.replace(after, history=())).decode(), nl=False)


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
        leave(f"ERROR: {explain(e)}")
        click.echo(f"gauntlet: {explain(e)}", err=True)
        sys.exit(GATE_ERROR if is_gate else BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ModuleNotFoundError as e:
        if e.name is None or e.name.partition(".")[0] in OURS:
            raise
        click.echo(
            f"gauntlet: {e.name} is not installed here, as its group of packages was left out; run it with all of "
            "them: uv run --all-groups gauntlet ...",
            err=True,
        )
        sys.exit(GATE_ERROR if is_gate else BAD_INPUT)
    except Exception as e:
        if os.environ.get("GAUNTLET_DEBUG"):
            raise
        click.echo(f"gauntlet: internal error: {type(e).__name__}: {e} (GAUNTLET_DEBUG=1 shows where)", err=True)
        sys.exit(GATE_ERROR if is_gate else INTERNAL_ERROR)


if __name__ == "__main__":
    main()
