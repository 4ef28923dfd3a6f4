"""`python -m validation models:/NAME/latest`: the gate alone, as `gauntlet gate` runs it."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from bentos.command_line import explain
from bentos.errors import GauntletError
from bentos.last_words import leave
from validation.gate.commands import gate_options, run_and_print_gate

ERROR = 3
"""Also for a wrong flag: click's own 2 would read as INCONCLUSIVE."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="MLFLOW_TRACKING_URI names a tracking server; without it the registry lies in --folder.",
)
@click.argument("candidate")
@gate_options
def gate(candidate: str, **options: Any) -> int:
    """Judge a candidate on its holdout: performance, fairness, robustness and the comparison with the champion.

    CANDIDATE is models:/NAME@ALIAS, models:/NAME/NUMBER or models:/NAME/latest, such as models:/churn/latest. A PASS is
    blessed and becomes challenger; INCONCLUSIVE is blessed for the shadow where the policy leaves it to live customers.

    Exit code: 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 3 ERROR (a check that cannot be computed, or anything that kept the gate
    from judging: wrong arguments, no tracking server, a damaged artifact, no holdout).
    """
    # A Job's log is no terminal, and its progress is looked at all the same.
    return run_and_print_gate(candidate, progress=lambda what: click.echo(f"gate: {what}", err=True), **options)


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
        leave(f"ERROR: {explain(e)}")
        click.echo(f"gate: {explain(e)}", err=True)
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
