"""Carrying a verdict out: roles in the experiment file, which is the truth, then the registry's aliases, and the audit.

The audit row is written first, as pending; then the file; then the aliases, which are idempotent and may be tried again
at any later time. So whatever dies in between leaves a row that says what is still to be done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bentos.artifact import Trust, policies_of, public_keys_of
from bentos.errors import (
    GauntletError,
    InvalidExperiment,
    InvalidSetting,
    NotAllowedByVerdict,
    NotFound,
    Unavailable,
)
from bentos.folder import Folder
from bentos.registry import Version
from bentos.revocations import trust_of
from service.micros import to_micros
from service.scoring.experiment import Experiment, end_trial, swap_roles
from service.scoring.places import ExperimentFile, ExperimentPlace
from service.store import Store
from validation.judge.aliases import CHALLENGER, CHAMPION, RegistryPort, follow
from validation.judge.audit import Change, read_changes, record, settle
from validation.judge.blessed import check_blessed
from validation.judge.lineage import Spending
from validation.judge.looking import look
from validation.judge.policy import OnlinePolicy, load_policy
from validation.judge.replay import lost_from_ledger
from validation.judge.status import keep_verdict
from validation.judge.taking_back import change_back, forget_promotion, promotion_in_force, without_promotion
from validation.judge.trials import close_trial
from validation.judge.verdict import Verdict, spending_of


def promote(
    folder: Folder,
    *,
    store: Store,
    registry: RegistryPort,
    model: str,
    policy_path: Path,
    who: str,
    now: datetime,
    lead: timedelta,
    as_of: datetime | None = None,
    challenger: str | None = None,
    place: ExperimentPlace | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Change:
    """Make the challenger champion, if the verdict is PROMOTE. Asked again, it finishes what the registry had refused.

    Args:
        folder: The installation.
        store: Its store.
        registry: Where the models are.
        model: Their registered name.
        policy_path: The online policy.
        who: Who asks, for the audit.
        now: The moment, with a time zone.
        lead: How long from now the new roles begin to hold, so that every replica has read them.
        as_of: Judge from this later moment; the audit row then says provisional.
        challenger: Digest of the one that is meant, where several are on trial.
        place: Where the experiment stands; None: in the installation's file.
        sleep: Waits between attempts at the registry.

    Returns:
        The change; its `aliases` are `pending` if the registry did not follow.

    Raises:
        NotAllowedByVerdict: The verdict is another, or the ledger is not what earlier verdicts rested on.
        NotBlessed: The challenger has no blessing that holds today; one for the shadow alone is enough where the
            verdict settles what it awaits.
        NotFound: The challenger is not in the registry, or there is no experiment file.
        Unavailable: Store or registry do not answer; nothing was changed.
    """
    place = place or ExperimentFile(folder.experiment)
    current = place.read()
    for finished in reconcile_aliases(place, store=store, registry=registry, model=model, sleep=sleep):
        if finished.action == "promote" and finished.revision_after == current.revision:
            return finished
    _require_challenger(current, "promote")
    current = current.focused(challenger)
    verdict = look(
        folder,
        store=store,
        policy_path=policy_path,
        as_of=as_of,
        now=now,
        challenger=current.challenger,
        lineage=model,
        place=place,
    )
    _check_allowed(store, verdict)
    _check_challenger(folder, registry, verdict, model=model, now=now)
    after = swap_roles(current, now=now, lead=lead)
    change = _change("promote", current, after, verdict, model=model, who=who, now=now)
    policy = load_policy(policy_path)
    spent = spending_of(verdict, policy)
    _keep(store, verdict, policy, now=now)
    change = _carry_out(place, store, change, after, trial=current, spent=spent)
    return follow(store, registry, change, sleep)


def rollback(
    folder: Folder,
    *,
    store: Store,
    registry: RegistryPort,
    model: str,
    policy_path: Path,
    who: str,
    now: datetime,
    lead: timedelta,
    reason: str | None = None,
    as_of: datetime | None = None,
    challenger: str | None = None,
    place: ExperimentPlace | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Change:
    """End the challenger's trial: on a verdict of ROLLBACK, or at any time for a person's reason.

    Where nobody is on trial since a promotion, a reason takes that back: the champion of before answers alone again.
    Safety does not wait for evidence: with a `reason` of a person's own the verdict is recorded and not asked. Neither
    does it wait for the registry, which may follow later. The other arguments are those of `promote`.

    Raises:
        NotAllowedByVerdict: There is no reason, and the verdict is another, or a promotion is to be taken back.
        InvalidExperiment: Nobody is on trial.
        InvalidSetting: The reason is empty.
        Unavailable: The store does not answer; `gauntlet experiment off` stops a challenger without it.
    """
    place = place or ExperimentFile(folder.experiment)
    current = place.read()
    if current.challenger is None:
        for finished in reconcile_aliases(place, store=store, registry=registry, model=model, sleep=sleep):
            if finished.action == "rollback" and finished.revision_after == current.revision:
                return finished
    _require_challenger(current, "roll back")
    if reason is not None and not reason.strip():
        raise InvalidSetting("the reason is empty; it must say why the challenger is rolled back")
    promotion = promotion_in_force(store, current)
    if promotion is not None:
        after = without_promotion(current, now=now, lead=lead)
        change = change_back(promotion, current, after, who=who, now=now, reason=_own_reason(promotion, reason))
        change = _carry_out(place, store, change, after)
        forget_promotion(store, promotion, change)
        return follow(store, registry, change, sleep)
    trial = current.focused(challenger)
    verdict = _look_if_it_can(
        folder,
        must=reason is None,
        store=store,
        policy_path=policy_path,
        as_of=as_of,
        now=now,
        challenger=trial.challenger,
        lineage=model,
        place=place,
    )
    if reason is None and verdict is not None and verdict.verdict != "ROLLBACK":
        raise NotAllowedByVerdict(
            f"no rollback by verdict: it is {verdict.verdict}: {'; '.join(verdict.reasons)}; with a reason of your own "
            "(--reason) it is always allowed"
        )
    after = end_trial(current, trial.challenger or "", now=now, lead=lead)
    if reason is None and verdict is not None:
        _keep(store, verdict, load_policy(policy_path), now=now)
    change = _change("rollback", trial, after, verdict, model=model, who=who, now=now, reason=reason)
    change = _carry_out(place, store, change, after, trial=trial)
    return follow(store, registry, change, sleep)


def bootstrap_champion(
    registry: RegistryPort, version: Version, *, store: Store, who: str, now: datetime, trust: Trust | None = None
) -> Change:
    """Make a model the first champion: there is none that it could be compared with on live customers.

    Args:
        registry: Where it is.
        version: Which.
        store: For the audit row.
        who: Who asks, for the audit.
        now: The moment, with a time zone.
        trust: Whose signatures count, and what was revoked; None: the public keys that the environment names.

    Raises:
        NotAllowedByVerdict: There is a champion already; only a verdict replaces it.
        NotBlessed: The model has no blessing that holds for scope `split` today.
        Unavailable: Store or registry do not answer; nothing was changed.
    """
    reigning = registry.find(f"models:/{version.name}@{CHAMPION}")
    if reigning is not None:
        raise NotAllowedByVerdict(f"{reigning} is champion already; only a challenger's verdict of PROMOTE replaces it")
    known = trust or Trust(keys=public_keys_of(os.environ), policies=policies_of(os.environ))
    check_blessed(registry, version, now=now, trust=known, champion=None)
    change = Change(
        number=0,
        at=to_micros(now),
        who=who,
        action="bootstrap",
        model=version.name,
        champion=version.digest,
        aliases="moved",
    )
    with store.writing() as connection:  # the row is kept only if the alias could be set
        change = record(connection, change)
        registry.set_alias(version, CHAMPION)
        if CHALLENGER in version.aliases:
            registry.drop_alias(version.name, CHALLENGER)
    return change


def reconcile_aliases(
    place: ExperimentPlace,
    *,
    store: Store,
    registry: RegistryPort,
    model: str,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Change]:
    """Let the registry follow every change of roles that it has not followed yet.

    Returns:
        Those changes, as they stand now; none if nothing was pending.

    Raises:
        Unavailable: The store does not answer.
    """
    pending = [change for change in read_changes(store, pending_only=True) if change.model == model]
    if not pending:
        return []
    current = place.read()
    settled = []
    for change in pending:
        if _holds(change, current):
            settled.append(follow(store, registry, change, sleep))
        else:
            settled.append(settle(store, change, "void", "the experiment file says otherwise"))
    return settled


def _check_allowed(store: Store, verdict: Verdict) -> None:
    """The verdict is PROMOTE, and the ledger still is what earlier verdicts rested on."""
    if verdict.verdict != "PROMOTE":
        raise NotAllowedByVerdict(f"no promotion: the verdict is {verdict.verdict}: {'; '.join(verdict.reasons)}")
    lost = lost_from_ledger(store, verdict.experiment)
    if lost:
        raise NotAllowedByVerdict(
            f"no promotion: the ledger is not what it was, {lost[0]}; `gauntlet verdict --replay` compares all"
        )


def _check_challenger(folder: Folder, registry: RegistryPort, verdict: Verdict, *, model: str, now: datetime) -> None:
    """The challenger is in the registry, with a blessing that holds today."""
    version = registry.find_by_digest(model, verdict.challenger or "")
    if version is None:
        raise NotFound(f"no version of {model} in the registry has the challenger's digest {verdict.challenger}")
    check_blessed(registry, version, now=now, trust=trust_of(folder, os.environ), champion=verdict.champion)


def _look_if_it_can(folder: Folder, *, must: bool, **options: Any) -> Verdict | None:
    """The verdict; a person's own reason does without one that cannot be had."""
    try:
        return look(folder, **options)
    except (GauntletError, OSError):
        if must:
            raise
        return None


def _require_challenger(experiment: Experiment, verb: str) -> None:
    if experiment.challenger is None:
        raise InvalidExperiment(f"there is no challenger to {verb}; the experiment file names the champion alone")


def _own_reason(promotion: Change, reason: str | None) -> str:
    if reason is None:
        raise NotAllowedByVerdict(
            f"nobody is on trial: the last change promoted {promotion.challenger} over {promotion.champion} (audit row "
            f"{promotion.number}); taking that back needs a reason of your own (--reason)"
        )
    return reason


def _change(
    action: str,
    before: Experiment,
    after: Experiment,
    verdict: Verdict | None,
    *,
    model: str,
    who: str,
    now: datetime,
    reason: str | None = None,
) -> Change:
    return Change(
        number=0,
        at=to_micros(now),
        who=who,
        action="promote" if action == "promote" else "rollback",
        model=model,
        champion=before.champion,
        challenger=before.challenger,
        revision_before=before.revision,
        revision_after=after.revision,
        verdict=verdict,
        manual=reason is not None,
        reason=reason,
    )


def _carry_out(
    place: ExperimentPlace,
    store: Store,
    change: Change,
    after: Experiment,
    *,
    trial: Experiment | None = None,
    spent: Spending | None = None,
) -> Change:
    """The audit row with a trial's end, if one ends, then the file; a row whose file could not be written is void."""
    with place.held():
        with store.writing() as connection:
            store.lock(connection, "roles")
            found = place.read().revision
            if found != change.revision_before:
                raise Unavailable(
                    f"the experiment file went from revision {change.revision_before} to {found} meanwhile; try again"
                )
            change = record(connection, change)
            if trial is not None:
                close_trial(
                    store,
                    connection,
                    trial,
                    lineage=change.model,
                    ending="promoted" if change.action == "promote" else "rolled_back",
                    audit=change.number,
                    at=change.at,
                    margin_spent=None if spent is None else spent.margin,
                    anchor=trial.challenger if spent and spent.is_anchor else None,
                )
        try:
            place.write(after)
        except Unavailable as e:
            settle(store, change, "void", str(e))
            raise
    return change


def _keep(store: Store, verdict: Verdict, policy: OnlinePolicy, *, now: datetime) -> None:
    """A verdict that moves roles is stored as the judge stores its own, so that it can be replayed too.

    A provisional one rests on cohorts that the ledger does not hold yet: its evidence stands in the audit row alone.
    """
    if not verdict.provisional:
        keep_verdict(store, verdict, policy, now=now)


def _holds(change: Change, current: Experiment) -> bool:
    """Whether the experiment file still says what a change made it say."""
    if change.revision_after is None or current.revision < change.revision_after:
        return False
    if change.action == "promote":
        return current.champion == change.challenger
    return current.champion == change.champion and current.challenger != change.challenger
