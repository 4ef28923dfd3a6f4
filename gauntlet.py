"""The command line: a table of contents of the system. A plane is imported only when its subcommand runs.

Each plane's own commands lie in its `commands.py`; here are those in which planes meet.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bentos.command_line import (
    POLICIES,
    as_json_option,
    candidate_file_option,
    candidate_in,
    explain,
    folder_option,
    in_folder,
    print_result,
    progress,
    suggest,
)
from bentos.errors import GauntletError, InUse, InvalidSetting, Unavailable
from bentos.folder import Folder
from bentos.images import commands as images
from bentos.job_summary import add_to_summary
from bentos.last_words import leave
from k8s import commands as control
from k8s import deploy_commands as deploying
from k8s import experiment_commands as experimenting
from k8s import rollout_commands as rolling
from service import commands as data_plane
from service.console import commands as looking
from service.files import commands as files
from service.insight import commands as explaining
from training import commands as training
from validation import blessing_commands as blessings
from validation import commands as judgement
from validation.drift import commands as drifting
from validation.gate import commands as gating
from validation.monitoring import commands as monitoring
from validation.planning import commands as planning

if TYPE_CHECKING:
    from k8s.experiment_map import ExperimentMap
    from service.files.model import FileModel

DEMO_HOME = "gauntlet-demo"

GATE_ERROR = 3
BAD_INPUT = 2
TRY_AGAIN = 75
"""sysexits' EX_TEMPFAIL: nothing is wrong with what was asked of score-file; started again, it goes on."""
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
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Every model runs the gauntlet before it serves.

    A model's life, in order: train, gate, package, serve, experiment, verdict, promote or rollback. `gauntlet demo`
    walks all of it in a minute or two. MLFLOW_TRACKING_URI names a tracking server; without it everything stays in
    --folder.
    """
    ctx.obj = _experiment_elsewhere


def _experiment_elsewhere() -> ExperimentMap | None:
    """The experiment of the namespace that a Job changes; None where it is a file."""
    namespace = os.environ.get("GAUNTLET_EXPERIMENT_NAMESPACE")
    if not namespace:
        return None
    from k8s.experiment_map import ExperimentMap
    from k8s.live import current_cluster

    return ExperimentMap(current_cluster(namespace))


@click.command()
@click.option(
    "--champion",
    metavar="MODEL",
    help="Default: models:/churn@champion; with --candidate-file the champion of that version's name.",
)
@click.option("--challenger", "challengers", multiple=True, metavar="MODEL", help="Repeatable. Default: none.")
@candidate_file_option("Pack the version that `gauntlet train` wrote there, if no challenger is named.")
@in_folder
@as_json_option
def package(
    champion: str | None, challengers: tuple[str, ...], candidate_file: Path | None, folder: Folder, as_json: bool
) -> None:
    """Pack champion and challengers into one Bento.

    A model without a blessing that holds is refused; `gauntlet gate` gives one. A challenger that is blessed for the
    shadow alone is packed for the shadow.
    """
    from bentos.packing import package as run
    from bentos.registry import registry_of
    from bentos.revocations import trust_of

    named = challengers
    if candidate_file is not None and not challengers:
        named = (candidate_in(candidate_file),)
    registry = registry_of(folder)
    found = [registry.resolve(name) for name in named]
    model = "churn" if named == challengers else found[0].name
    packed = run(
        registry,
        champion=registry.resolve(champion or f"models:/{model}@champion"),
        challengers=found,
        folder=folder,
        now=datetime.now(UTC),
        trust=trust_of(folder, os.environ),
    )
    print_result(packed, as_json, str)
    suggest(folder, "serve")


@click.command("score-file")
@files.score_file_options
@in_folder
@as_json_option
def score_file(
    folder: Folder, input_file: Path, model: str | None, shard: str, keep: Sequence[str], as_json: bool, **options: Any
) -> None:
    """Score a .parquet, .csv or .csv.gz file.

    OUT is a .parquet file, or with several shards a folder of parts. Killed and started again, it goes on where it was.
    Rows are checked as over HTTP; their answers are in no prediction log. Exit code 75: the registry or the disk is
    away, or somebody else scores this shard, so try again later.
    """
    from service.files.asking import Request, columns_of
    from service.files.scoring import score_file as run
    from service.files.sharing import parse_shard

    request = Request(input=input_file, shard=parse_shard(shard, os.environ), keep=columns_of(keep), **options)
    report = run(request, _file_model(folder, model), progress=progress)
    print_result(report, as_json, str)
    leave(report.headline if report.summary is None else f"{report.headline}\n{report.summary.headline}")


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
@click.option("--on-cluster", is_flag=True, help="On the cluster that the kubeconfig's context names.")
@click.option(
    "--namespace", default="gauntlet", show_default=True, help="With --on-cluster: made for it, and left at the end."
)
@click.option(
    "--load",
    "loader",
    metavar="COMMAND",
    help="With --on-cluster: loads an image's archive, named in place of {} or at the end, into the nodes. Default: as "
    "kind, k3d and minikube do it, where the context is one of theirs.",
)
@click.option("--registry", metavar="HOST/PATH", help="With --on-cluster: push images there instead.")
@click.option("--engine", metavar="NAME", help="With --on-cluster: builds the images; as for `gauntlet image`.")
@click.option(
    "--build-option", "build_options", multiple=True, metavar="OPTION", help="Of its build command; repeatable."
)
@click.option(
    "--ingress",
    default="http://127.0.0.1",
    show_default=True,
    metavar="URL",
    help="With --on-cluster: where the Ingress controller answers.",
)
@folder_option(DEMO_HOME)
def demo(folder: Folder, on_cluster: bool, port: int, keep_serving: bool, **options: Any) -> None:
    """Walk a model's whole life on this machine, or on a cluster.

    On real parts and in a minute or two: train, gate, package, serve, shadow, split, verdict, promote, roll back. With
    --on-cluster in some ten minutes: images, manifests, Jobs and the Ingress of a Kubernetes are as real.
    """
    from service.demo.run import Where, run_cluster_demo, run_demo

    told = {
        name: options.pop(name) for name in ("namespace", "loader", "registry", "engine", "build_options", "ingress")
    }
    files: dict[str, Any] = {
        "use_case": training.USE_CASES / "telco_churn.yaml",
        "gate_policy": POLICIES / "baseline.yaml",
        "online_policy": POLICIES / "demo.yaml",
    }
    if not on_cluster:
        sys.exit(run_demo(folder, port=port, keep_serving=keep_serving, **files, **options))
    if port or keep_serving:
        raise InvalidSetting("--on-cluster goes with neither --port nor --keep-serving: a cluster goes on serving")
    sys.exit(run_cluster_demo(folder, Where(**told), **files, **options))


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), default=9090, show_default=True, help="Where Prometheus answers."
)
@click.option(
    "--alertmanager-port",
    type=click.IntRange(1, 65535),
    default=9093,
    show_default=True,
    help="Where Alertmanager answers, if it is installed.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="HOST:PORT",
    help="An admin port of scoring elsewhere; repeatable. Default: the service that runs from --folder.",
)
@in_folder
def observe(folder: Folder, port: int, alertmanager_port: int, targets: tuple[str, ...]) -> None:
    """Watch the running service with Prometheus.

    With the rules of drift, promises, experiment and models, which are under /alerts; and with Alertmanager where it is
    installed too. Both are the real programs, found on PATH. What they keep is in DIR/observing.
    """
    import grafana
    from service.observing import Watching
    from service.observing import observe as run

    place = Path(grafana.__file__).parent
    by = Watching(place / "rules", place / "alertmanager.yaml", (place / "runbooks").as_uri())
    sys.exit(run(folder, by, port=port, alertmanager_port=alertmanager_port, targets=targets))


for command in (
    demo,
    control.on_cluster(training.train, "train"),
    control.on_cluster(gating.gate, "gate"),
    blessings.blessing,
    package,
    data_plane.serve,
    explaining.insight,
    looking.console,
    data_plane.keys,
    observe,
    score_file,
    files.batch_summary,
    experimenting.experiment,
    planning.plan,
    control.on_cluster(judgement.verdict, "promote"),
    planning.disagreements,
    drifting.drift,
    control.on_cluster(judgement.promote, "promote"),
    control.on_cluster(judgement.rollback, "rollback"),
    control.on_cluster(monitoring.monitor, "promote"),
    data_plane.ship,
    data_plane.log,
    data_plane.forget,
    judgement.judge,
    images.image,
    deploying.deploy,
    rolling.rollout,
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


def _exit_code(error: GauntletError | OSError) -> int:
    """What an error of a command is, in a number."""
    command = sys.argv[1:2]
    if command == ["score-file"] and isinstance(error, (Unavailable, InUse, OSError)):
        return TRY_AGAIN
    return GATE_ERROR if command == ["gate"] else BAD_INPUT


def _summarize(error: GauntletError | OSError) -> None:
    """Say an error on the page of a CI job too."""
    with suppress(Unavailable):  # the error itself is said on stderr
        add_to_summary(f"**gauntlet {' '.join(sys.argv[1:2])}**: {explain(error)}")


def main() -> NoReturn:
    """Run the command line; every foreseen error is one line on stderr and exit code 2 (gate: 3; score-file: or 75)."""
    is_gate = "gate" in sys.argv[1:2]
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn.utils.parallel")
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.ClickException as e:
        e.show()
        sys.exit(GATE_ERROR if is_gate else BAD_INPUT)
    except (GauntletError, OSError) as e:
        leave(f"ERROR: {explain(e)}")
        _summarize(e)
        click.echo(f"gauntlet: {explain(e)}", err=True)
        sys.exit(_exit_code(e))
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
