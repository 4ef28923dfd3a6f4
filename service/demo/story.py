"""The demo's story: what happens in which order, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bentos.packing import Packed
from bentos.registry import Version
from service.demo.narrator import Narrator
from service.demo.preparing import Prepared
from service.demo.traffic import Customer, Door, ask, ask_why, riskiest, tell_truths
from training.train import Trained
from validation.gate.report import GateReport
from validation.judge.audit import Change
from validation.judge.policy import OnlinePolicy
from validation.judge.verdict import Verdict

BATCH = 200
"""Customers between two looks at the evidence: few enough to see it grow, enough to be quick."""
SHADOW_LOOKS = 2
"""Looks in the shadow before a challenger that did no harm is given a share."""
SPLIT = 0.25
BREAKS_AT = 3
"""The batch from which on a column is broken, in the trial that shows it: the challenger has its share by then."""
INSIGHT_SECONDS = 60.0
"""How long insight may take to be ready: it was started with the service, and the trial took longer."""
LEANS_ON = "TotalCharges"
STANDS_FOR = "tenure"
"""A customer's total charges follow from tenure and monthly charges, so that a model can lean on either."""


@dataclass(frozen=True)
class Trial:
    """One experiment as the story runs it.

    Attributes:
        name: What the record calls it.
        challenger: Who is on trial.
        customers: Who comes, in this order.
        salt: Of the experiment.
        breaks_at: The batch from which on a column arrives broken; None: none does.
    """

    name: str
    challenger: Version
    customers: Sequence[Customer]
    salt: str
    breaks_at: int | None = None

    def batches(self) -> Iterator[tuple[int, Sequence[Customer]]]:
        """Customers between two looks, as they arrive."""
        for index, start in enumerate(range(0, len(self.customers), BATCH)):
            batch = self.customers[start : start + BATCH]
            is_broken = self.breaks_at is not None and index >= self.breaks_at
            yield index, [customer.with_broken(LEANS_ON, 0.0) for customer in batch] if is_broken else batch


class Installation(Protocol):
    """What the story is played on: one machine (`stage`), or a cluster (`cluster_stage`)."""

    seed: int
    policy: OnlinePolicy

    def prepare(self, source: str | None) -> Prepared:
        """Read the data, and keep a part of its customers back as live traffic."""

    def train(
        self, estimator: str, *, without: tuple[str, ...] = (), parameters: dict[str, int] | None = None
    ) -> Trained:
        """Train on the history."""

    def gate(self, candidate: Version) -> GateReport:
        """Judge a candidate against the reigning champion."""

    def bootstrap(self, version: Version) -> object:
        """Make the first champion."""

    def package(self, *, champion: Version, challenger: Version) -> Packed:
        """Pack both into one Bento."""

    def serving(self, *, insight: bool = False) -> AbstractContextManager[Door]:
        """Serve the packed Bento while the block runs, and what explains it where that is wanted."""

    def shadow(self, door: Door, challenger: Version, *, salt: str) -> None:
        """Put a challenger in the shadow."""

    def split(self, door: Door, share: float) -> None:
        """Give the challenger a share of customers."""

    def look(self, *, told: int) -> Verdict:
        """Judge, once as many truths are seen as were told."""

    def promote(self, door: Door) -> Change:
        """Carry out a verdict of PROMOTE."""

    def rollback(self, door: Door) -> Change:
        """Carry out a verdict of ROLLBACK."""


def tell(stage: Installation, say: Narrator, *, source: str | None) -> None:
    """Play a model's life from data to promotion, and two lives that end earlier.

    Args:
        stage: The installation.
        say: Says and records.
        source: A data file, a public file by name, or None for synthetic customers.
    """
    prepared = stage.prepare(source)
    say.data(prepared)
    first = _first_champion(stage, say)
    if first is None:
        say.step("end", "nothing can be served: a first champion must pass the gate too")
        return
    champion = _better_challenger(stage, say, prepared, first)
    _leaning_challenger(stage, say, prepared, champion)
    _hopeless_candidate(stage, say)


def _first_champion(stage: Installation, say: Narrator) -> Version | None:
    version = say.training(stage.train("logistic_regression")).version
    if say.gate(stage.gate(version)).verdict != "PASS":
        return None
    stage.bootstrap(version)
    say.step("champion", f"{version} is the first champion: there was none to compare it with")
    return version


def _better_challenger(stage: Installation, say: Narrator, prepared: Prepared, champion: Version) -> Version:
    """Train a challenger, try it on live customers, and promote it if the evidence allows it; gives the champion."""
    trained = say.training(
        stage.train("random_forest", without=(LEANS_ON,)), note=f"without {LEANS_ON}, as {STANDS_FOR} says enough"
    )
    if say.gate(stage.gate(trained.version)).verdict != "PASS":
        return champion
    trial = Trial("better challenger", trained.version, prepared.live, salt=f"first-{stage.seed}")
    say.packed(stage.package(champion=champion, challenger=trained.version))
    with stage.serving(insight=True) as door:
        verdict = _try_on_live_customers(stage, say, door, trial)
        if verdict.verdict != "PROMOTE":
            return champion
        change = stage.promote(door)
        answer = ask(door, prepared.live[:1]).answers[0]
        say.changed(change, answer, text=f"{trained.version} is champion; {champion} is archived")
        _explained(say, door, prepared)
    return trained.version


def _explained(say: Narrator, door: Door, prepared: Prepared) -> None:
    """Why the new champion answers one customer as it does, and the draft of an e-mail that asks them to stay."""
    say.progress("insight is explaining")
    found = riskiest(ask(door, prepared.live[:BATCH]))
    if found is not None:
        say.explained(found[1], ask_why(door, *found, patience_seconds=INSIGHT_SECONDS))


def _leaning_challenger(stage: Installation, say: Narrator, prepared: Prepared, champion: Version) -> None:
    """A challenger that passes the gate honestly, and leans on a column that then breaks upstream."""
    trained = say.training(
        stage.train("hist_gradient_boosting", without=(STANDS_FOR,)),
        note=f"without {STANDS_FOR}: it leans on {LEANS_ON} instead",
    )
    if say.gate(stage.gate(trained.version)).verdict != "PASS":
        return
    say.packed(stage.package(champion=champion, challenger=trained.version))
    with stage.serving() as door:
        trial = Trial(
            "leaning challenger", trained.version, prepared.live, salt=f"second-{stage.seed}", breaks_at=BREAKS_AT
        )
        if _try_on_live_customers(stage, say, door, trial).verdict == "ROLLBACK":
            change = stage.rollback(door)
            answer = ask(door, prepared.live[:1]).answers[0]
            say.changed(change, answer, text=f"{trained.version} is archived; {champion} stays champion")


def _hopeless_candidate(stage: Installation, say: Narrator) -> None:
    trained = say.training(
        stage.train("random_forest", parameters={"n_estimators": 5, "max_depth": 1}),
        note="five trees of one question each",
    )
    say.gate(stage.gate(trained.version))


def _try_on_live_customers(stage: Installation, say: Narrator, door: Door, trial: Trial) -> Verdict:
    """Shadow first, then a split, with a look after every batch, until the evidence decides or customers run out."""
    stage.shadow(door, trial.challenger, salt=trial.salt)
    say.evidence_begins(trial.name, url=str(door), policy=stage.policy)
    verdict, told = stage.look(told=0), 0
    for index, customers in trial.batches():
        if index == SHADOW_LOOKS:
            stage.split(door, SPLIT)
            say.remark(f"no harm seen: the challenger answers {SPLIT:.0%} of customers from now on")
        if index == trial.breaks_at:
            say.remark(f"the billing export breaks upstream, as columns do: {LEANS_ON} arrives as 0 from now on")
        say.progress("customers are asking")
        sent = ask(door, customers)
        window = timedelta(microseconds=stage.policy.maturity_window)
        told += tell_truths(door, sent, now=datetime.now(UTC), window=window)
        verdict = say.look(sent, stage.look(told=told))
        if verdict.verdict != "KEEP_COLLECTING":
            break
    say.decided(trial.name, verdict)
    return verdict
