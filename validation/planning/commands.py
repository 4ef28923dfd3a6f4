"""Commands for those who plan a trial, or wait for its truths."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bentos.command_line import as_json_option, in_folder, online_policy, print_result, rules_of
from bentos.errors import InvalidSetting
from bentos.folder import Folder

_MICROS_A_DAY = 86_400_000_000


@click.command()
@click.option("--effect", type=float, required=True, help="The true difference you expect, challenger minus champion.")
@click.option("--margin", type=float, help="What may be lost. Default: the policy's.")
@click.option(
    "--cost-ratio", type=float, help="A false positive's cost over a false negative's. Default: the policy's."
)
@click.option("--new-customers-per-day", "new_customers", type=float, default=0.0, show_default=True, metavar="N",
              help="Customers a day who were never scored before.")  # fmt: skip
@click.option("--customers", type=int, default=0, show_default=True, metavar="N",
              help="Known customers, each scored once within --spread days.")  # fmt: skip
@click.option("--spread", "spread_days", type=float, default=30.0, show_default=True, metavar="DAYS",
              help="Days in which every known customer is scored.")  # fmt: skip
@click.option("--window", type=float, metavar="DAYS", help="Maturity window. Default: the policy's.")
@click.option("--alpha", type=float, help="Level of a promotion over the lineage. Default: the policy's.")
@click.option("--trial", type=int, default=1, show_default=True, metavar="N",
              help="Its number in the champion's lineage: each trial leaves less of alpha to the next.")  # fmt: skip
@click.option("--promotions", type=int, default=0, show_default=True, metavar="N",
              help="Promotions of the lineage before it, which give some back.")  # fmt: skip
@click.option(
    "--power", type=float, default=0.8, show_default=True, help="Share of trials that must be decided rightly."
)
@click.option("--disagreement", type=float, default=0.1, show_default=True,
              help="Share of customers on whom one model alone is right.")  # fmt: skip
@click.option("--positive", type=float, default=0.4, show_default=True,
              help="Share of those they disagree on who turn out positive; for profit.")  # fmt: skip
@click.option("--coverage", type=float, default=1.0, show_default=True, help="Share of outcomes that come back.")
@click.option("--no-treatment", "counted", type=float, default=1.0, show_default=True, metavar="SHARE",
              help="Share of customers whom no action reaches, where actions follow predictions.")  # fmt: skip
@click.option("--horizon", "horizon_days", type=float, default=365.0, show_default=True, metavar="DAYS",
              help="How long you would wait.")  # fmt: skip
@click.option("--group", "groups", multiple=True, metavar="NAME=SHARE:MARGIN[:DISAGREEMENT]",
              help="A protected group: its share of customers, its margin, and where they disagree on more or fewer of "
              "its members, on what share; repeatable.")  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw it into this file.")
@online_policy
@in_folder
@as_json_option
def plan(policy: Path | None, folder: Folder, html: Path | None, as_json: bool, **given: Any) -> None:
    """Say how many matured customers, and how many days, a decision will take.

    The verdict's own rules are played over 2,000 trials, with a look after every cohort. Exit code: 0 where the
    decision can be had, 1 where not.
    """
    from bentos.artifact import write_beside
    from validation.judge.policy import load_policy
    from validation.planning.page import to_html
    from validation.planning.plan import make_plan
    from validation.planning.question import Question, check_question
    from validation.planning.terminal import render

    rules = load_policy(rules_of(policy, folder))
    asked = {name: value for name, value in given.items() if name not in ("groups", "cost_ratio", "window")}
    known = {
        "margin": rules.margin,
        "alpha": rules.alpha_promote,
        "alpha_rollback": rules.alpha_rollback,
        "harm_rules": rules.harm_rules,
        "cohort_days": rules.cohort / _MICROS_A_DAY,
        "min_cohorts": rules.min_cohorts,
        "min_matured": rules.min_matured,
    }
    window, ratio = given["window"], given["cost_ratio"]
    question = check_question(
        Question(
            **{**known, **{name: value for name, value in asked.items() if value is not None}},
            window_days=rules.maturity_window / _MICROS_A_DAY if window is None else window,
            false_positive_cost=rules.false_positive_cost if ratio is None else ratio,
            groups=tuple(_group(text) for text in given["groups"]),
        )
    )
    if html is not None and not html.parent.is_dir():
        raise InvalidSetting(f"--html is {str(html)!r}; its folder {html.parent} is not there")
    found = make_plan(question)
    print_result(found, as_json, render)
    if html is not None:
        write_beside(html, to_html(found))
        click.echo(f"drawn in {html}", err=True)
    sys.exit(0 if found.can_be_had else 1)


@click.command()
@click.option("--experiment", "experiment_id", metavar="ID", help="Default: the one of the experiment file.")
@click.option("--challenger", metavar="DIGEST", help="Which one, where several are on trial.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    help="How many to name; --csv: all.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print all of them as CSV.")
@online_policy
@in_folder
@as_json_option
def disagreements(
    experiment_id: str | None,
    challenger: str | None,
    limit: int,
    as_csv: bool,
    policy: Path | None,
    folder: Folder,
    as_json: bool,
) -> None:
    """List the customers whose truth still decides.

    Where both models say the same, the pair is a tie whatever comes true; chasing the truths of the others is enough.
    """
    from service.prediction_log.shipper import ship
    from service.scoring.experiment import read_experiment
    from service.store import store_of
    from validation.judge.disagreements import check_known, find_disagreements, render
    from validation.judge.policy import load_policy

    if as_csv and as_json:
        raise InvalidSetting("--csv and --json are two forms of one list; give one of them")
    store, now = store_of(folder), datetime.now(UTC)
    named = experiment_id
    if experiment_id is None:
        experiment_id = read_experiment(folder.experiment).focused(challenger).id
    ship(folder.spool, store, now=now)
    if named is not None:
        check_known(store, named)
    rules = load_policy(rules_of(policy, folder))
    found = find_disagreements(store, experiment_id, rules, now=now, limit=None if as_csv else limit)
    if not as_csv:
        print_result(found, as_json, render)
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["prediction_id", "customer_id", "scored_at", "due", "champion_positive", "challenger_positive"])
    for one in found.customers:
        times = one.at.isoformat(), one.due.isoformat()
        writer.writerow([one.prediction_id, one.customer_id, *times, one.champion_positive, one.challenger_positive])


def _group(text: str) -> Any:
    from validation.planning.question import GroupAsked

    name, _, numbers = text.rpartition("=")
    try:
        share, margin, *apart = (float(number) for number in numbers.split(":"))
        (disagreement,) = apart or (None,)
        return GroupAsked(name, share, margin, disagreement)
    except ValueError as e:
        raise InvalidSetting(
            f"--group is {text!r}; it must be NAME=SHARE:MARGIN or NAME=SHARE:MARGIN:DISAGREEMENT, such as "
            "SeniorCitizen=1=0.16:0.05:0.14"
        ) from e
