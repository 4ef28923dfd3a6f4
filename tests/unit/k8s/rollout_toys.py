"""An experiment, the image that is rolled out, and real verdicts on small ledgers."""

from datetime import UTC, datetime, timedelta

from k8s.overlay import Carried
from service.scoring.experiment import Experiment, start_shadow
from validation.judge.ledger import Cohort, Counts
from validation.judge.policy import OnlinePolicy
from validation.judge.verdict import judge

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ZERO = timedelta(0)
DAY = 86_400_000_000
FIRST = Experiment(revision=1, effective_from=NOW - timedelta(days=9), mode="off", champion=A, salt="s")
CARRIED = Carried(image=f"shop/gauntlet-scoring@{C}", champion=A, challengers=(B,))
RULES = OnlinePolicy(
    name="toy", metric="accuracy", false_positive_cost=None, claim="non_inferiority", margin=0.02, alpha_promote=0.05,
    alpha_rollback=0.05, alpha_srm=0.001, maturity_window=30 * DAY, cohort=DAY, min_cohorts=1, min_matured=10,
    actions_follow_predictions=False,
)  # fmt: skip
SHADOW = start_shadow(FIRST, B, now=NOW - timedelta(days=2), salt="t", lead=ZERO)


def verdict_on(experiment, *, days=1, wins=3, losses=2, ties=95, answered_challenger=0):
    n = wins + losses + ties
    counts = Counts(
        wins_positive=wins, losses_positive=losses, ties=ties, n=n,
        answered_challenger=answered_challenger, answered_champion=n - answered_challenger,
    )  # fmt: skip
    cohorts = [
        Cohort(
            experiment=experiment.id, start=day * DAY, end=(day + 1) * DAY, revision=experiment.revision,
            mode=experiment.mode, split=experiment.split, policy=RULES.digest, counts=counts, rows_digest="d",
        )
        for day in range(days)
    ]  # fmt: skip
    return judge(cohorts, RULES, experiment)
