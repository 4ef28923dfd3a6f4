"""`gauntlet experiment`: the experiment of an installation in a folder, or of one on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from bentos.command_line import Percent, in_folder, progress
from bentos.errors import InvalidSetting, NotBlessed, Refused
from bentos.folder import Folder
from k8s.commands import in_namespace

if TYPE_CHECKING:
    from bentos.registry import Version
    from service.scoring.experiment import Experiment


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
    found: Callable[..., Any] = in_folder(
        on_cluster(in_namespace(run, "With --on-cluster: where the installation is."))
    )
    return found


@experiment.command("show")
@_anywhere
def experiment_show(folder: Folder, namespace: str | None) -> None:
    """Print the experiment file as it stands."""
    from service.scoring.experiment import dump_experiment, read_experiment

    if namespace is not None:
        from k8s.experiment_map import read_on
        from k8s.live import current_cluster

        found = read_on(current_cluster(namespace))
    else:
        found = read_experiment(folder.experiment)
    click.echo(dump_experiment(found).decode(), nl=False)


@experiment.command("begin")
@_anywhere
def experiment_begin(folder: Folder, namespace: str | None) -> None:
    """Make a new installation's experiment: the packed champion alone.

    Refused where there is one, as it is the truth about roles and never reset.
    """
    from bentos.roles import ROLES, read_roles
    from service.scoring.experiment import dump_experiment, first_experiment, write_experiment

    champion = read_roles(folder.bento / "src" / ROLES).champion.digest
    first = first_experiment(champion, now=datetime.now(UTC))
    if namespace is not None:
        from k8s.live import current_cluster

        current_cluster(namespace).create_map(dump_experiment(first).decode())
    elif folder.experiment.exists():
        raise Refused(f"{folder.experiment} is there already, and is never reset")
    else:
        write_experiment(folder.experiment, first)
    click.echo(dump_experiment(first).decode(), nl=False)


@experiment.command("shadow")
@click.argument("challengers", nargs=-1, metavar="[CHALLENGER]...")
@_anywhere
def experiment_shadow(challengers: tuple[str, ...], folder: Folder, namespace: str | None) -> None:
    """Score challengers in the shadow of live traffic.

    It begins a new experiment. A CHALLENGER's answers are logged, not returned; it must be in the Bento that is served.
    Default: models:/churn@challenger. Customers are divided evenly among several. On a cluster a CHALLENGER may be a
    digest, for which no registry is asked.
    """
    from bentos.registry import registry_of
    from service.scoring.experiment import new_salt, start_shadow

    def digest_of(name: str) -> str:
        if namespace is not None and name.startswith("sha256:"):
            return name
        if namespace is not None and not os.environ.get("MLFLOW_TRACKING_URI"):
            raise InvalidSetting(
                f"{name} is a name in MLflow, and MLFLOW_TRACKING_URI is not set: `kubectl --namespace {namespace} "
                "port-forward service/gauntlet-mlflow 5000` and MLFLOW_TRACKING_URI=http://127.0.0.1:5000, or give the "
                "model's digest, sha256:…"
            )
        version = registry_of(folder).resolve(name)
        if namespace is None:  # on a cluster what pods do not carry is told once they have read the file
            _check_packed(folder, version)
            _check_not_revoked(folder, version)
        return version.digest

    digests = [digest_of(name) for name in challengers or ("models:/churn@challenger",)]
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
        from k8s.experiment_map import change_on
        from k8s.live import current_cluster

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
