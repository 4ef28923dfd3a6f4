"""What the page says of one trial beside its pictures: the verdict in words, numbers, tables. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dash import html
from dash.development.base_component import Component

from service.console.experiment.naming import Names
from service.console.experiment.reading import Told
from service.console.experiment.wording import say_wait, state_of, title_of, verdict_in_words
from service.console.parts import notice, tile, tiles
from service.micros import from_micros
from validation.judge.evidence import Evidence
from validation.judge.limits import Live, broken_limits
from validation.judge.policy import OnlinePolicy
from validation.planning.remaining import RECENT_COHORTS, SHARES, Rest, Wait

_KINDS = {"PROMOTE": "notice good", "ROLLBACK": "notice wrong", "KEEP_COLLECTING": "notice", "INVALID": "notice warn"}


def verdict_card(told: Told, names: Names) -> Component:
    """What the evidence allows and why, and how the trial ended."""
    verdict = told.verdict
    lines: list[Component] = [html.H2(title_of(told.trial, names))]
    if verdict is None:
        lines.append(notice("No verdict was ever stored of this trial."))
    else:
        is_over = told.trial.ended is not None
        stored = "The verdict that it ended on was " if is_over else ""
        lines += [
            html.P(
                [stored, html.Strong(verdict.verdict), f": {verdict_in_words(verdict.verdict)}."],
                className=_KINDS[verdict.verdict],
                role="status",
            ),
            html.Ul([html.Li(_capital(reason)) for reason in verdict.reasons]),
        ]
    lines += [html.P(text) for text in _endings(told)]
    lines.append(
        html.P(
            f"Judged by the policy {told.policy.name}: {told.policy.metric}, {_claim(told.policy)}; the level is "
            f"alpha {told.policy.alpha_promote:g} for a promotion ({_level(told)}) and {told.policy.alpha_rollback:g} "
            f"for harm. Cohorts of {say_wait(told.policy.cohort).removeprefix('about ')}, closed "
            f"{say_wait(told.policy.maturity_window).removeprefix('about ')} after they end.",
            className="soft",
        )
    )
    return html.Section(lines, className="card whole")


def provisional_notice(told: Told) -> Component | None:
    """That open cohorts count, or that none is closed."""
    if told.as_of is not None:
        return html.P(
            f"Provisional, as of {told.as_of:%Y-%m-%d %H:%M} UTC: cohorts that are still open count as if every truth "
            f"that is told by now were final. {_closed(told)} gauntlet verdict --as-of says the same.",
            className="notice warn",
            role="status",
        )
    return None


def first_to_close(told: Told) -> str:
    """Why there is no evidence yet."""
    if told.first_at is None:
        return "Nobody was scored in this trial yet."
    return (
        f"The first customer was scored on {from_micros(told.first_at):%Y-%m-%d %H:%M} UTC; their cohort closes on "
        f"{told.first_closes:%Y-%m-%d %H:%M} UTC, when its outcomes have matured."
    )


def number_tiles(told: Told) -> Component:
    """The numbers that matter."""
    evidence, counts = told.evidence, told.evidence.counts
    tipping = "" if evidence.tipping_point is None else f"; {evidence.tipping_point:,} of them tip it"
    seen = "none" if evidence.difference is None else f"{evidence.difference:+.4f}"
    return tiles(
        [
            tile(
                "Matured customers",
                f"{evidence.matured:,}",
                f"of {counts.n:,} enrolled, {evidence.cohorts:,} cohorts; {evidence.late:,} late rows not counted",
            ),
            tile("Wins and losses", f"{evidence.wins:,} : {evidence.losses:,}", f"and {evidence.ties:,} ties"),
            tile(
                f"Difference in {told.policy.metric}", seen, f"between {evidence.lower:+.4f} and {evidence.upper:+.4f}"
            ),
            tile("Log e, promotion", f"{evidence.log_e:.2f}", _against(evidence.log_e_worst, evidence.threshold)),
            tile(
                "Log e, harm",
                f"{evidence.rollback_log_e:.2f}",
                _against(evidence.rollback_log_e_best, evidence.rollback_threshold),
            ),
            tile(
                "Missing truths that decide",
                f"{evidence.missing_disagreements:,}",
                f"the models disagree; they can move the difference by {evidence.missing_swing:.4f}{tipping}",
            ),
            *_treatment_tile(evidence),
        ]
    )


def limit_section(live: Live | None, policy: OnlinePolicy) -> Component | None:
    """The engineering limits, which wait for no outcome; None where the policy sets none."""
    limits = policy.limits
    if limits is None:
        return None
    title = html.H2("Guardrails")
    if live is None:
        return html.Section(
            [title, html.P("Nobody is on trial now, so that no request can be held against a limit.")], className="card"
        )
    broken = broken_limits(live, policy)
    enough = live.requests >= limits.min_requests
    window = say_wait(int(limits.window_seconds * 1e6)).removeprefix("about ")
    says = (
        f"n = {live.requests:,} requests of the last {window} of this phase; from {limits.min_requests:,} on they "
        "count. One that is broken rolls back at once."
    )
    rows = [
        ("Challenger's failures", _percent(live.failed_share), _at_most(limits.challenger_error_share, ".2%")),
        ("99th percentile, times the champion's", _ratio(live.latency_ratio), _at_most(limits.latency_p99_ratio, "g")),
        (
            "Positive answers, challenger minus champion",
            _points(live.positive_change),
            _at_most(limits.positive_share_change, ".1%", "± "),
        ),
    ]
    body: list[Component] = [title, html.P(says, className="soft"), _plain(("Limit", "Now", "Allowed"), rows)]
    if not enough:
        body.append(notice("There are too few requests to judge by, so that no limit can be broken or kept."))
    body += [notice(_capital(sentence), is_wrong=True) for sentence in broken]
    return html.Section(body, className="card whole")


def arms_section(evidence: Evidence) -> Component | None:
    """Outcomes by the variant that answered; None where the policy does not ask for them."""
    arms = evidence.arms
    if arms is None:
        return None
    rows = [
        (name, f"{arm.customers:,}", f"{arm.told:,}", f"{arm.positive:,}", _percent(arm.positive / arm.told))
        if arm.told
        else (name, f"{arm.customers:,}", "0", "0", "")
        for name, arm in (("Champion", arms.champion), ("Challenger", arms.challenger))
    ]
    undecided = "not shown" if arms.can_tell else "cannot be told yet"
    state = "shown" if arms.is_shown else "refuted: they are" if arms.is_harmed else undecided
    seen = "" if arms.improvement is None else f"{arms.improvement:+.4f}, between "
    says = (
        f"{arms.better.capitalize()} positive outcomes are better. The improvement is {seen}{arms.lower:+.4f} and "
        f"{arms.upper:+.4f}; that the challenger's customers are not worse off by {arms.margin:g}: {state}."
    )
    head = ("Answered by", "Customers", "Truths", "Positive", "Share")
    return html.Section(
        [html.H2("Outcomes by the variant that answered"), html.P(says, className="soft"), _plain(head, rows)],
        className="card whole",
    )


def rest_card(rest: Rest) -> Component:
    """How long still."""
    lines = [html.Li(_say_wait(wait)) for wait in rest.waits]
    says = (
        f"The verdict's rules, played on from the closed cohorts: {rest.customers_a_day:,.1f} new customers a day, as "
        f"in the last {RECENT_COHORTS} cohorts, models that disagree on {rest.disagreement:.1%} of them, truths of "
        f"{rest.coverage:.1%}, up to {rest.horizon_days:g} days ahead. Groups and outcomes by arm are not played."
    )
    return html.Section(
        [html.H2("How long still?"), html.Ul(lines), html.P(says, className="soft")], className="card whole"
    )


def _endings(told: Told) -> Iterator[str]:
    trial, change = told.trial, told.ended_by
    if trial.ended is not None:
        by = "" if change is None else f" by {change.who} (audit row {change.number})"
        why = f": {change.reason}" if change is not None and change.reason else ""
        yield f"It was {state_of(trial)} on {from_micros(trial.ended):%Y-%m-%d %H:%M:%S} UTC{by}{why}."
    if told.verdict is not None and told.verdict.provisional and trial.ended is not None:
        yield (
            f"That was provisional, as of {told.verdict.as_of:%Y-%m-%d %H:%M} UTC: it was decided before its cohorts "
            "could close, and cannot be replayed from the ledger."
        )


def _closed(told: Told) -> str:
    if told.closed_through is None or not any(cohort.end <= told.closed_through for cohort in told.cohorts):
        return f"No cohort with customers is closed yet. {first_to_close(told)}"
    return f"Closed is everything up to {from_micros(told.closed_through):%Y-%m-%d %H:%M} UTC."


def _level(told: Told) -> str:
    threshold = f"log e {told.evidence.threshold:.2f}"
    if told.lineage is None:
        return threshold
    return f"{threshold}, as trial {told.lineage.number} of its lineage"


def _claim(policy: OnlinePolicy) -> str:
    return "better than the champion" if policy.claim == "superiority" else f"not worse by {policy.margin:g} or more"


def _against(with_missing: float, threshold: float) -> str:
    return f"of {threshold:.2f}; {with_missing:.2f} with every missing truth against it"


def _treatment_tile(evidence: Evidence) -> Iterator[Component]:
    if evidence.treated or evidence.outside is not None:
        outside = 0 if evidence.outside is None else evidence.outside.n
        yield tile(
            "Treated",
            f"{evidence.treated:,}",
            f"{evidence.spoiled:,} of them though left alone by lot; {outside:,} customers beside the evidence",
        )


def _say_wait(wait: Wait) -> str:
    supposed = f"a true difference of {wait.effect:+.4f}, as seen so far" if wait.effect else "no difference at all"
    ends = f"{wait.promoted:.0%} of trials end in a promotion and {wait.rolled_back:.0%} in a rollback"
    whens = [
        f"{share:.0%} are decided in {say_wait(found[1])} ({found[0]:,} more customers)"
        for share, found in zip(SHARES, wait.waits, strict=True)
        if found is not None
    ]
    return f"With {supposed}: {ends}; {' and '.join(whens) if whens else 'fewer than half are ever decided'}."


def _plain(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Component:
    cells = [html.Th(text, scope="col", className="n" if i else "") for i, text in enumerate(heading)]
    head = html.Thead(html.Tr(cells))
    body = [
        html.Tr([html.Td(cell, className="n") if i else html.Th(cell, scope="row") for i, cell in enumerate(row)])
        for row in rows
    ]
    return html.Div(html.Table([head, html.Tbody(body)]), className="wide")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{share:.2%}"


def _ratio(times: float | None) -> str:
    return "not measured" if times is None else f"{times:.2f}"


def _points(change: float | None) -> str:
    return "not known" if change is None else f"{change:+.1%}"


def _at_most(limit: float | None, form: str, sign: str = "") -> str:
    return "no limit" if limit is None else f"{sign}{limit:{form}}"
