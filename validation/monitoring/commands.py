"""`gauntlet monitor`: what a person should know of the champion."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from bentos.command_line import as_json_option, in_folder, moment_of, online_policy, print_result, rules_of
from bentos.folder import Folder

EXIT_CODES = {"good": 0, "bad": 1, "unknown": 3}
"""2 is for wrong arguments and for a store or a registry that does not answer, as everywhere."""


@click.command()
@click.option("--as-of", metavar="TIME", help="Look from a later moment, such as 2026-03-01T00:00:00Z.")
@online_policy
@in_folder
@as_json_option
def monitor(as_of: str | None, policy: Path | None, folder: Folder, as_json: bool) -> None:
    """Say how the reigning champion does.

    Traffic, drift of the last week, how many truths came back, how right it is beside what its blessing found, and how
    long that blessing holds; as Markdown, with pictures. How right it is is told by a sequence that stays valid however
    often one looks.

    Exit code: 0 all is well, 1 something needs a person, 2 wrong arguments or no store, 3 too little is known to say.
    """
    from bentos.job_summary import add_to_summary
    from bentos.last_words import leave
    from bentos.registry import registry_of
    from service.prediction_log.shipper import ship
    from service.store import store_of
    from validation.commands import place_of
    from validation.judge.policy import load_policy
    from validation.judge.trials import name_of_lineage
    from validation.monitoring.looking import watch
    from validation.monitoring.markdown import to_markdown

    now, store = moment_of(as_of) or datetime.now(UTC), store_of(folder)
    champion = place_of(folder).read().champion
    ship(folder.spool, store, now=datetime.now(UTC))
    watched = watch(
        store,
        registry_of(folder),
        name=name_of_lineage(folder, store),
        champion=champion,
        policy=load_policy(rules_of(policy, folder)),
        now=now,
    )
    print_result(watched, as_json, to_markdown)
    bad = [f"{finding.name}: {finding.said}" for finding in watched.findings if finding.level == "bad"]
    leave("; ".join(bad) or watched.level)
    add_to_summary(to_markdown(watched))
    sys.exit(EXIT_CODES[watched.level])
