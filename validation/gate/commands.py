"""The gate's command, and what both of its command lines share (`gauntlet gate`, `python -m validation`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bentos.command_line import as_json_option, candidate_file_option, candidate_in, in_folder, progress, suggest
from bentos.errors import BadInput, Unavailable
from bentos.folder import Folder
from validation.gate.defaults import POLICIES, POLICY

if TYPE_CHECKING:
    from validation.gate.report import GateReport


def gate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the gate can be told beside its candidate, by either of its command lines."""
    against = click.option(
        "--against", metavar="MODEL", help="The champion to compare with. Default: the alias champion, if there is one."
    )
    policy = click.option(
        "--policy",
        type=click.Path(path_type=Path),
        default=POLICY,
        envvar="GAUNTLET_GATE_POLICY_FILE",
        show_envvar=True,
        show_default=f"validation/policies/{POLICY.name}",
        metavar="FILE",
        help=f"The YAML file with the rules; more lie in validation/{POLICIES.name}.",
    )
    html = click.option(
        "--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the report's page here too."
    )
    junit = click.option(
        "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML for CI here too."
    )
    verbose = click.option(
        "-v", "--verbose", is_flag=True, help="Show every check that passed, however many there are."
    )
    for option in (as_json_option, in_folder, verbose, junit, html, policy, against):
        command = option(command)
    return command


def run_and_print_gate(
    candidate: str,
    *,
    against: str | None,
    policy: Path,
    html: Path | None,
    junit: Path | None,
    verbose: bool,
    folder: Folder,
    as_json: bool,
    progress: Callable[[str], None],
) -> int:
    """Judge a candidate and print its report: the table, or byte for byte the JSON that is kept.

    Returns:
        The exit code: 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 3 ERROR.

    Raises:
        GauntletError: The gate could not judge, or a copy of its report cannot be written.
    """
    from rich.console import Console

    from bentos.job_summary import check_summary
    from bentos.last_words import leave
    from bentos.registry import registry_of
    from validation.announcing import announce_pass, check_setting
    from validation.gate.report import dump_report
    from validation.gate.run import check_copies, run_gate
    from validation.gate.terminal import next_commands, render
    from validation.gate.wording import last_words_of

    check_setting()
    check_copies(html=html, junit=junit)
    check_summary()
    report = run_gate(
        candidate,
        against=against,
        policy_path=policy,
        registry=registry_of(folder),
        folder=folder,
        now=datetime.now(UTC),
        progress=progress,
    )
    if as_json:
        click.echo(dump_report(report), nl=False)
    else:
        # Where nobody looks (a file, a pipe, a Job's log) rich would take 80 columns, and the table needs more.
        console = Console(width=None if sys.stdout.isatty() else 110)
        console.print(render(report, verbose=verbose), highlight=False, soft_wrap=False)
    if as_json and isinstance(report.lost, str):  # the table says it itself
        click.echo(f"gate: could not be drawn or kept: {report.lost}; the verdict stands", err=True)
    leave(last_words_of(report))
    suggest(folder, *next_commands(report))
    try:
        told = announce_pass(report)
    except Unavailable as e:
        leave(f"{last_words_of(report)}; ERROR: {e}")
        click.echo(f"gate: ERROR: {e}; the verdict stands", err=True)
    else:
        if told is not None:
            progress(f"{told} was told of the PASS")
    _give_copies(report, html=html, junit=junit)
    return report.exit_code


def _give_copies(report: GateReport, *, html: Path | None, junit: Path | None) -> None:
    """Write the report wherever else somebody wants it; by now it is kept, and what it blessed is blessed."""
    from bentos.job_summary import add_to_summary
    from validation.gate.markdown import to_markdown
    from validation.gate.run import write_copies

    try:
        write_copies(report, html=html, junit=junit)
        add_to_summary(to_markdown(report))
    except (BadInput, Unavailable) as e:
        raise Unavailable(f"{e}; the verdict stands: {report.verdict}") from e


CANDIDATE = "models:/churn@candidate"


@click.command()
@click.argument("candidate", required=False)
@candidate_file_option("Judge the version that `gauntlet train` wrote there, if no CANDIDATE is named.")
@gate_options
def gate(candidate: str | None, candidate_file: Path | None, **options: Any) -> None:
    """Judge a candidate on its untouched holdout.

    Performance, slices, fairness, robustness and the comparison with the champion, by the rules of a policy.

    CANDIDATE is models:/NAME@ALIAS, models:/NAME/NUMBER or models:/NAME/latest; by default models:/churn@candidate. A
    PASS is blessed and becomes challenger; INCONCLUSIVE is blessed for the shadow where the policy leaves it to live
    customers.

    Exit code: 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 3 ERROR (a check that cannot be computed, or anything that kept the gate
    from judging: wrong arguments, no tracking server, a damaged artifact, no holdout).
    """
    named = candidate or (CANDIDATE if candidate_file is None else candidate_in(candidate_file))
    sys.exit(run_and_print_gate(named, progress=progress, **options))
