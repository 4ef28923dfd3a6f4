"""`python -m grafana`: make every file under `grafana/` that is made by code."""

from __future__ import annotations

import sys

import click

from grafana.generated import differing, write


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--check", is_flag=True, help="Change nothing; exit code 1 where what is there is not what would be made."
)
def main(check: bool) -> None:
    """Make the rules, dashboards and what else under grafana/ is made by code."""
    if not check:
        for path in write():
            click.echo(f"grafana/{path}")
        return
    found = differing()
    for path in found:
        click.echo(f"grafana/{path} is not what `python -m grafana` makes", err=True)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(prog_name="python -m grafana")
