"""`python -m validation models:/NAME/latest`: the gate alone, as `gauntlet gate` runs it."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from bentos.errors import GauntletError
from bentos.folder import Folder
from validation.gate.defaults import FOLDER, POLICIES, POLICY

ERROR = 3
"""Also for a wrong flag: click's own 2 would read as INCONCLUSIVE."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="MLFLOW_TRACKING_URI names a tracking server; without it the registry lies in --folder.",
)
@click.argument("candidate")
@click.option(
    "--against", metavar="MODEL", help="The champion to compare with. Default: the alias champion, if there is one."
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    default=POLICY,
    show_default=f"validation/policies/{POLICY.name}",
    metavar="FILE",
    help=f"The YAML file with the rules; more lie in validation/{POLICIES.name}.",
)
@click.option(
    "--folder",
    envvar="GAUNTLET_FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    show_default=True,
    show_envvar=True,
    metavar="DIR",
    help="Where this installation keeps its things, reports among them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead of a table.")
def gate(candidate: str, against: str | None, policy: Path, folder: Path, as_json: bool) -> int:
    """Judge a candidate on its holdout: performance, fairness, robustness, McNemar against the champion.

    CANDIDATE is models:/NAME@ALIAS, models:/NAME/NUMBER or models:/NAME/latest, such as models:/churn/latest. A PASS is
    blessed and becomes challenger.

    Exit code: 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 3 ERROR (a check that cannot be computed, or anything that kept the gate
    from judging: wrong arguments, no tracking server, a damaged artifact, no holdout).
    """
    # Here and not above, so that --help answers at once.
    from bentos.registry import registry_of
    from validation.gate.report import dump_report
    from validation.gate.run import run_gate
    from validation.gate.terminal import render

    place = Folder(folder)
    report = run_gate(
        candidate,
        against=against,
        policy_path=policy,
        registry=registry_of(place),
        folder=place,
        now=datetime.now(UTC),
        progress=lambda what: click.echo(f"gate: {what}", err=True),
    )
    if as_json:
        click.echo(dump_report(report), nl=False)
    else:
        # Where nobody looks (a file, a pipe, a Job's log) rich would take 80 columns, and the table needs more.
        Console(width=None if sys.stdout.isatty() else 110).print(render(report), highlight=False, soft_wrap=False)
    return report.exit_code


def main() -> NoReturn:
    """Run the gate's command line; whatever keeps it from judging is one line on stderr and exit code 3."""
    try:
        sys.exit(gate.main(prog_name="python -m validation", standalone_mode=False) or 0)
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.ClickException as e:
        e.show()
        sys.exit(ERROR)
    except (GauntletError, OSError) as e:
        click.echo(f"gate: {e}", err=True)
        sys.exit(ERROR)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as e:
        if os.environ.get("GAUNTLET_DEBUG"):
            raise
        click.echo(f"gate: internal error: {type(e).__name__}: {e} (GAUNTLET_DEBUG=1 shows where)", err=True)
        sys.exit(ERROR)


if __name__ == "__main__":
    main()
