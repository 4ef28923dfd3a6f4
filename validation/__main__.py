"""`python -m validation models:/NAME/latest`: the gate alone, by the very command of `gauntlet gate`."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from bentos.command_line import explain
from bentos.errors import GauntletError
from validation.commands import gate

ERROR = 3
"""Also for a wrong flag: click's own 2 would read as INCONCLUSIVE."""

_AS_IN_GAUNTLET: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""What `gauntlet` tells all its subcommands."""


def main() -> NoReturn:
    """Run the gate's command line; whatever keeps it from judging is told on stderr and exit code 3."""
    try:
        sys.exit(gate.main(prog_name="python -m validation", standalone_mode=False, **_AS_IN_GAUNTLET) or 0)
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.ClickException as e:
        e.show()
        sys.exit(ERROR)
    except (GauntletError, OSError) as e:
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
