"""`gauntlet demo`: a fresh folder, the story told in it, and what to try next."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from bentos.folder import Folder
from service.demo.narrator import Narrator
from service.demo.stage import Stage, fresh_folder
from service.demo.story import tell
from service.supervisor import serve

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
    console = Console()
    console.width = min(console.width, _WIDTH) if console.is_terminal else _WIDTH
    replaces_another = folder.path.exists()
    fresh_folder(folder)
    say = Narrator(console, folder=folder.path, seed=seed)
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
    return serve(folder, port=port or 3000, policy=folder.policy) if keep_serving else 0


def _next_commands(folder: Folder) -> list[tuple[str, str]]:
    where = f"--folder {folder.path}"
    gauntlet = "gauntlet" if shutil.which("gauntlet") and not Path(".uv/bin/uv").exists() else ".uv/bin/uv run gauntlet"
    return [
        (f"{gauntlet} serve {where}", "serve this folder again: http://127.0.0.1:3000/docs"),
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
