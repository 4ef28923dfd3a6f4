"""`gauntlet demo`: a fresh folder or namespace, the story told in it, and what to try next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from bentos.folder import Folder
from service.demo.narrator import Narrator
from service.demo.preparing import fresh_folder
from service.demo.stage import Stage
from service.demo.story import tell
from service.supervisor import serve

CONSOLE_PORT = 3005
_WIDTH = 110


def run_demo(
    folder: Folder,
    *,
    data: str | None,
    seed: int,
    port: int,
    use_case: Path,
    gate_policy: Path,
    online_policy: Path,
    json_file: Path | None,
    keep_serving: bool,
) -> int:
    """Play the demo.

    Args:
        folder: Where everything is left; emptied first if an earlier demo left it.
        data: A data file in the Telco schema, a public file by name, or None for synthetic customers.
        seed: Of customers, models and salts: the same seed gives the same decisions on the same evidence.
        port: Where the service listens; 0 for any free port.
        use_case: The use case file.
        gate_policy: Rules of the gate.
        online_policy: Rules of the verdict.
        json_file: Where every number that is printed is written once more.
        keep_serving: Whether the service goes on at the end, until it is stopped.

    Returns:
        The exit code.

    Raises:
        GauntletError: A part refused or failed; the message says which and why.
    """
    replaces_another = folder.path.exists()
    fresh_folder(folder)
    say = Narrator(_console(), folder=folder.path, seed=seed)
    say.opening(gate_policy=gate_policy.stem, policy=online_policy.stem, replaces_another=replaces_another)
    stage = Stage(
        folder,
        seed=seed,
        port=port,
        use_case=use_case,
        gate_policy=gate_policy,
        online_policy=online_policy,
        progress=say.progress,
    )
    try:
        tell(stage, say, source=data)
        record = folder.path / "demo.json"
        say.close(_next_commands(folder), kept=[record] if json_file is None else [record, json_file])
    finally:
        say.quiet()
        stage.close()
    return _keep_serving(folder, port) if keep_serving else 0


def _keep_serving(folder: Folder, port: int) -> int:
    """Serve on, with everything that is installed here: insight and console are groups of packages of their own."""
    insight, console = (find_spec(module) is not None for module in ("shap", "dash"))
    if not (insight and console):
        missing = " and ".join(name for name, has in (("insight", insight), ("console", console)) if not has)
        sys.stderr.write(
            f"without {missing}, whose packages are not installed: uv run --all-groups gauntlet demo ...\n"
        )
    return serve(
        folder,
        port=port or 3000,
        policy=folder.policy,
        insight=insight,
        console_port=CONSOLE_PORT if console else None,
    )


@dataclass(frozen=True)
class Where:
    """The cluster that a demo is played on.

    Attributes:
        namespace: Of the installation; made, or emptied if an earlier demo made it.
        loader: A command that loads an image's archive into the nodes.
        registry: Where images are pushed to instead.
        engine: What builds images; None: the first that can.
        build_options: What else its build command is given.
        ingress: Where the Ingress controller answers.
    """

    namespace: str
    loader: str | None
    registry: str | None
    engine: str | None
    build_options: Sequence[str]
    ingress: str


def run_cluster_demo(
    folder: Folder,
    where: Where,
    *,
    data: str | None,
    seed: int,
    use_case: Path,
    gate_policy: Path,
    online_policy: Path,
    json_file: Path | None,
) -> int:
    """Play the demo on the cluster of the current kubeconfig context; see `run_demo`."""
    from bentos.images.engines import find_engine
    from k8s.delivering import delivery_of
    from k8s.kubectl import Kubectl
    from k8s.live import current_cluster
    from service.demo.cluster_stage import ClusterStage
    from service.demo.installing import Installing

    kubectl, cluster = Kubectl(where.namespace), current_cluster(where.namespace)
    delivery = delivery_of(kubectl.context(), loader=where.loader, registry=where.registry)
    engine = find_engine(where.engine)
    replaces_another = folder.path.exists()
    fresh_folder(folder)
    say = Narrator(_console(), folder=folder.path, seed=seed)
    say.opening(gate_policy=gate_policy.stem, policy=online_policy.stem, replaces_another=replaces_another)
    installing = Installing(
        kubectl,
        folder=folder,
        delivery=delivery,
        engine=engine,
        build_options=where.build_options,
        ingress=where.ingress,
    )
    stage = ClusterStage(
        folder,
        seed=seed,
        use_case=use_case,
        gate_policy=gate_policy,
        online_policy=online_policy,
        cluster=cluster,
        installing=installing,
        step=say.step,
        progress=say.progress,
    )
    try:
        stage.install()
        tell(stage, say, source=data)
        say.record["cluster"] = {
            "context": installing.context,
            "namespace": where.namespace,
            "steps": [{"step": name, "seconds": seconds} for name, seconds in stage.seconds],
        }
        record = folder.path / "demo.json"
        kept = [record] if json_file is None else [record, json_file]
        say.close(_next_on_cluster(where.namespace, folder, installing.key_file), kept=kept)
    finally:
        say.quiet()
    return 0


def _console() -> Console:
    console = Console()
    console.width = min(console.width, _WIDTH) if console.is_terminal else _WIDTH
    return console


def _next_on_cluster(namespace: str, folder: Folder, key_file: Path) -> list[tuple[str, str]]:
    from service.demo.cluster_stage import DATA

    kubectl, there = f"kubectl --namespace {namespace}", f"--on-cluster --namespace {namespace}"
    gauntlet = _gauntlet("--all-groups")
    score = (
        f'curl -s http://gauntlet.localhost/v1/score -H "authorization: Bearer $(cat {key_file})" '
        f"-H 'content-type: application/json' -d @{folder.customer}"
    )
    return [
        (f"{kubectl} get pods,cronjobs,jobs,ingress", "what runs there"),
        (score, "score a customer through the Ingress"),
        (f"{gauntlet} train {there} --data {DATA}", "train a candidate of your own, in a Job"),
        (f"{gauntlet} gate {there}", "judge it against the champion, in a Job"),
        (f"{gauntlet} experiment show {there}", "who is on trial"),
        (
            f"{kubectl} port-forward service/gauntlet-console 3005",
            "look at it all at http://127.0.0.1:3005; the key of above lets you in",
        ),
        (f"{kubectl} port-forward service/gauntlet-mlflow 5000", "see its runs and models at http://127.0.0.1:5000"),
        (f"kubectl delete namespace {namespace}", "and away with all of it"),
    ]


def _gauntlet(*options: str) -> str:
    """How somebody at this place calls the command line."""
    if shutil.which("gauntlet") and not Path(".uv/bin/uv").exists():
        return "gauntlet"
    return " ".join((".uv/bin/uv run", *options, "gauntlet"))


def _next_commands(folder: Folder) -> list[tuple[str, str]]:
    where = f"--folder {folder.path}"
    gauntlet = _gauntlet()
    return [
        (
            f"{_gauntlet('--all-groups')} serve --insight --console {CONSOLE_PORT} {where}",
            f"serve this folder again: http://127.0.0.1:3000/docs, and look: http://127.0.0.1:{CONSOLE_PORT}",
        ),
        (
            f"curl -s http://127.0.0.1:3000/v1/score -H 'content-type: application/json' -d @{folder.customer}",
            "and score a customer with it",
        ),
        (f"{gauntlet} verdict {where}", "what the evidence says now"),
        (
            f"{gauntlet} train {where} --data {folder.data / 'history.csv'} -p max_depth=12",
            "train a candidate of your own",
        ),
        (f"{gauntlet} gate {where}", "judge it against the champion"),
        (f"{gauntlet} --help", "all commands"),
    ]
