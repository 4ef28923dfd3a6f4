"""Judgement's part of the command line: the gate, the verdict, and what follows from them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bentos.command_line import (
    as_json_option,
    in_folder,
    moment_of,
    online_policy,
    print_result,
    rules_of,
    who,
)
from bentos.errors import InvalidSetting, NotFound, Refused
from bentos.folder import Folder
from bentos.last_words import leave

if TYPE_CHECKING:
    from bentos.registry import Version
    from service.scoring.places import ExperimentPlace
    from service.store import Store
    from validation.judge.audit import Change

_AS_OF = click.option(
    "--as-of",
    metavar="TIME",
    help="Look from a later moment, such as 2026-03-01T00:00:00Z: provisional, nothing is closed.",
)

_CHALLENGER = click.option("--challenger", metavar="MODEL", help="Which one, where several are on trial.")


@click.command()
@_CHALLENGER
@_AS_OF
@click.option(
    "--replay",
    is_flag=False,
    flag_value="all",
    metavar="[NUMBER|all]",
    help="Reach stored verdicts again from the ledger as it was then, and compare. Exit code: 0 if all agree, else 1.",
)
@online_policy
@in_folder
@as_json_option
def verdict(
    challenger: str | None,
    as_of: str | None,
    replay: str | None,
    policy: Path | None,
    folder: Folder,
    as_json: bool,
) -> None:
    """Say what the evidence allows, with reasons.

    PROMOTE, ROLLBACK, KEEP_COLLECTING or INVALID. It may be asked as often as one likes: the answer stays valid.
    """
    from service.store import store_of
    from validation.judge.looking import look
    from validation.judge.terminal import render, to_json

    if replay is not None:
        if as_of is not None or challenger is not None:
            raise InvalidSetting(
                "--replay goes with neither --as-of nor --challenger; it names a stored verdict or all"
            )
        _replay(replay, rules_of(policy, folder), folder, as_json)
    place = place_of(folder)
    named = _on_trial(challenger, folder, place)
    found = look(
        folder,
        store=store_of(folder),
        policy_path=rules_of(policy, folder),
        as_of=moment_of(as_of),
        now=datetime.now(UTC),
        challenger=None if named is None else named.digest,
        place=place,
    )
    click.echo(to_json(found).decode() if as_json else render(found, color=sys.stdout.isatty()))


@click.command()
@click.argument("model", required=False)
@click.option(
    "--bootstrap",
    is_flag=True,
    help="Make MODEL (default models:/churn@challenger) the first champion; refused where there is one.",
)
@_AS_OF
@online_policy
@in_folder
@as_json_option
def promote(
    model: str | None, bootstrap: bool, as_of: str | None, policy: Path | None, folder: Folder, as_json: bool
) -> None:
    """Make the challenger champion, if that is allowed.

    The verdict must be PROMOTE and the challenger's blessing must hold. Roles swap in the experiment file; the
    registry's aliases follow.

    The experiment file says who the challenger is; another MODEL is refused. With --bootstrap MODEL is the first
    champion.
    """
    from bentos.registry import registry_of
    from bentos.revocations import trust_of
    from service.store import store_of
    from validation.judge.audit import describe
    from validation.judge.promotion import bootstrap_champion
    from validation.judge.promotion import promote as run

    registry, store = registry_of(folder), store_of(folder)
    if bootstrap:
        version, trust = registry.resolve(model or "models:/churn@challenger"), trust_of(folder, os.environ)
        now = datetime.now(UTC)
        change = bootstrap_champion(registry, version, store=store, who=who(), now=now, trust=trust)
        print_result(change, as_json, describe)
        leave(describe(change))
        return
    _change(run, folder, store=store, registry=registry, challenger=model, as_of=as_of, policy=policy, as_json=as_json)


@click.command()
@click.option(
    "--reason",
    envvar="GAUNTLET_REASON",
    show_envvar=True,
    help="Roll back without waiting for the verdict; always allowed, and recorded.",
)
@_CHALLENGER
@_AS_OF
@online_policy
@in_folder
@as_json_option
def rollback(
    reason: str | None,
    challenger: str | None,
    as_of: str | None,
    policy: Path | None,
    folder: Folder,
    as_json: bool,
) -> None:
    """End the challenger's trial. Where several are on trial, the others go on.

    On a verdict of ROLLBACK, or at any time for a --reason of your own. Where nobody was put on trial since a
    promotion, a --reason takes that back: the champion of before answers again.
    """
    from bentos.registry import registry_of
    from service.store import store_of
    from validation.judge.promotion import rollback as run

    registry, store = registry_of(folder), store_of(folder)
    _change(
        run,
        folder,
        store=store,
        registry=registry,
        challenger=challenger,
        as_of=as_of,
        policy=policy,
        as_json=as_json,
        reason=reason,
    )


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3002, show_default=True)
@click.option(
    "--contract",
    type=click.Path(path_type=Path),
    envvar="GAUNTLET_CONTRACT_FILE",
    show_envvar=True,
    metavar="FILE",
    help="The champion's contract.json, which says what is protected. Default: as --scoring tells it.",
)
@click.option(
    "--scoring",
    envvar="GAUNTLET_SCORING_URL",
    show_envvar=True,
    metavar="URL",
    help="Scoring's admin port, which tells the champion's contract. Default: DIR's Bento, which has it too.",
)
@online_policy
@in_folder
def judge(
    host: str, port: int, contract: Path | None, scoring: str | None, policy: Path | None, folder: Folder
) -> None:
    """Close cohorts and judge, again and again.

    Answers /v1/experiment. `gauntlet serve` starts one by itself; this is for a store that others write to.
    """
    from service.logs import log_to_stderr
    from service.store import store_of
    from validation.judge.process import run_judge

    log_to_stderr("judge")

    run_judge(
        folder,
        store=store_of(folder, asks=False),
        policy_path=rules_of(policy, folder),
        host=host,
        port=port,
        contract_path=contract,
        scoring=scoring,
    )


@click.command("outcomes")
@click.option("--experiment", "experiment_id", metavar="ID", help="Outcomes of this experiment's predictions alone.")
@click.option("--unknown", is_flag=True, help="Print the unknown prediction ids instead, one a line.")
@online_policy
@in_folder
@as_json_option
def outcomes(folder: Folder, experiment_id: str | None, unknown: bool, policy: Path | None, as_json: bool) -> None:
    """Count the outcomes in the store, and what is odd about them.

    Early, contradicting and repeated ones, and those of unknown prediction ids: such an id is waited for as long as the
    policy's maturity window, and is reported from then on. Every outcome that was told is kept.
    """
    from service.micros import to_micros
    from service.store import store_of
    from service.store.reports import outcome_report, unknown_ids
    from validation.judge.policy import load_policy

    if unknown and (experiment_id is not None or as_json):
        raise InvalidSetting("--unknown goes with neither --experiment nor --json; an unknown id is of no experiment")
    maturity = load_policy(rules_of(policy, folder)).maturity_window
    now = to_micros(datetime.now(UTC))
    if unknown:
        for one in unknown_ids(store_of(folder), maturity=maturity, now=now):
            click.echo(one)
        return
    print_result(outcome_report(store_of(folder), experiment_id, maturity=maturity, now=now), as_json, str)


def _replay(which: str, policy_path: Path, folder: Folder, as_json: bool) -> NoReturn:
    """Print stored verdicts beside what the ledger says of them now, and end."""
    from service.store import store_of
    from validation.judge.policy import load_policy
    from validation.judge.replay import replay
    from validation.judge.terminal import render_replays

    if which != "all" and not which.isdecimal():
        raise InvalidSetting(f"--replay is {which!r}; it must be the number of a stored verdict, or all")
    known = [load_policy(policy_path)] if policy_path.exists() else []
    found = replay(store_of(folder), number=None if which == "all" else int(which), known=known)
    print_result(found, as_json, lambda replays: render_replays(replays, color=sys.stdout.isatty()))
    sys.exit(0 if all(one.agrees for one in found) else 1)


def place_of(folder: Folder) -> ExperimentPlace:
    """Where the experiment stands: the command line knows of clusters, and this plane does not."""
    from service.scoring.places import ExperimentFile

    elsewhere = click.get_current_context().find_root().obj
    found: ExperimentPlace | None = None if elsewhere is None else elsewhere()
    return found or ExperimentFile(folder.experiment)


def _on_trial(model: str | None, folder: Folder, place: ExperimentPlace) -> Version | None:
    """A model that is on trial; None where none is named."""
    from bentos.registry import registry_of

    if model is None:
        return None
    version = registry_of(folder).resolve(model)
    if version.digest not in [digest for digest, _ in place.read().challengers]:
        raise Refused(f"{version} is not on trial; leave it out to mean the challenger that is")
    return version


def _name_of_models(folder: Folder, store: Store, named: Version | None) -> str:
    """The registered name of what is served here."""
    from validation.judge.trials import UNNAMED, name_of_lineage

    if named is not None:
        return named.name
    found = name_of_lineage(folder, store)
    if found == UNNAMED:
        raise NotFound(
            "the store knows no champion and no Bento is here, so the models have no name yet; say which is meant, "
            "such as models:/churn@challenger"
        )
    return found


def _change(
    act: Callable[..., Change],
    folder: Folder,
    *,
    store: Store,
    challenger: str | None,
    as_of: str | None,
    policy: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Change roles, say what was done, and wait until whoever serves by them follows."""
    from validation.judge.audit import describe

    place = place_of(folder)
    named = _on_trial(challenger, folder, place)
    change = act(
        folder,
        store=store,
        model=_name_of_models(folder, store, named),
        policy_path=rules_of(policy, folder),
        who=who(),
        now=datetime.now(UTC),
        lead=place.lead,
        as_of=moment_of(as_of),
        challenger=None if named is None else named.digest,
        place=place,
        **options,
    )
    print_result(change, as_json, describe)
    leave(describe(change))
    if change.revision_after is not None and (said := place.wait(change.revision_after)):
        click.echo(said, err=as_json)
