"""What the page reads: trials, their ledger judged anew, how they ended, and who is on trial now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from console_toys import settings_in
from trial_toys import CHALLENGER, CHAMPION, DAY, RULES, RUNNING, START, TRIAL, keep, keep_trial, ledger

from bentos.errors import NotFound, Refused, Unavailable
from service.console.experiment import page
from service.console.experiment.reading import Told, Trial, read_mark, read_told, read_trials
from service.console.experiment.standing import BY_FILE, BY_JUDGE, ask_judge, read_running
from service.console.service_client import ServiceClient
from service.console.sources import Sources
from service.micros import from_micros
from service.scoring.experiment import Experiment, write_experiment
from service.store import Store, open_store
from validation.judge.evidence import weigh
from validation.judge.looking import judge_experiment
from validation.judge.status import Logged, Status, keep_verdict

NOW = from_micros(200 * DAY)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield made
    made.close()


def told(store: Store, tmp_path: Path, trial: Trial = TRIAL, **options: Any) -> Told:
    return read_told(store, trial, policy_file=tmp_path / "policy.yaml", with_open=False, now=NOW, **options)


def sources_in(folder: Path, answer: Any = None) -> Sources:
    """Sources whose service says this, or does not answer."""

    def handle(request: httpx.Request) -> httpx.Response:
        if answer is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, content=msgspec.json.encode(answer))

    settings = settings_in(folder)
    return Sources(settings, ServiceClient(settings, transport=httpx.MockTransport(handle)))


def test_the_verdict_is_the_judges_own(store: Store, tmp_path: Path) -> None:
    keep(store, ledger(20))
    keep_trial(store)
    found = told(store, tmp_path)
    # The file's policy is not asked for: there is none, and the ledger says which rules closed it.
    direct = judge_experiment(store, RUNNING, RULES, lineage="churn", now=NOW)
    assert found.verdict == direct
    assert found.evidence == direct.evidence
    assert found.course[-1].log_e == direct.evidence.log_e  # type: ignore[union-attr]
    assert found.closed_through == 20 * DAY


def test_a_trial_that_is_over_keeps_the_verdict_that_it_ended_on(store: Store, tmp_path: Path) -> None:
    keep(store, ledger(10))
    keep_trial(store)
    then = judge_experiment(store, RUNNING, RULES, lineage="churn", now=NOW)
    keep_verdict(store, then, RULES, now=NOW)
    over = replace(TRIAL, running=None, ended=150 * DAY, ending="abandoned")
    found = told(store, tmp_path, over)
    assert found.verdict == then
    assert found.evidence == weigh(ledger(10), RULES, lineage=then.lineage)
    assert found.ended_by is None


def test_rules_that_were_not_kept_are_no_rules(store: Store, tmp_path: Path) -> None:
    other = msgspec.structs.replace(RULES, margin=0.03)
    keep(store, ledger(3), rules=other)
    text = "schema_version: 1\nname: x\nmetric: accuracy\nclaim: superiority\nalpha_promote: 0.05\n"
    text += "alpha_rollback: 0.05\nmaturity_window: 30d\ncohort: 1d\nmin_cohorts: 1\nmin_matured: 1\n"
    (tmp_path / "policy.yaml").write_text(text + "actions_follow_predictions: false\n")
    with pytest.raises(Refused, match="was not kept"):
        told(store, tmp_path)


def test_without_rules_and_ledger_the_missing_policy_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no policy file"):
        told(store, tmp_path)


def test_a_ledger_that_contradicts_itself_is_refused_and_not_drawn(store: Store, tmp_path: Path) -> None:
    (broken,) = ledger(1)
    counts = msgspec.structs.replace(broken.counts, answered_champion=0)
    keep(store, [msgspec.structs.replace(broken, counts=counts)])
    keep_trial(store)
    over = replace(TRIAL, running=None, ended=DAY)
    with pytest.raises(Refused, match="do not add up"):
        told(store, tmp_path, over)


def test_the_running_trial_comes_first_then_the_newest(store: Store) -> None:
    keep_trial(store, number=1, experiment="old", ending="promoted", ended_at=DAY)
    keep_trial(store, number=2, experiment="e")
    keep_trial(store, number=3, experiment="young", ending="rolled_back", ended_at=9 * DAY)
    found = read_trials(store, [RUNNING])
    assert [trial.experiment for trial in found] == ["e", "young", "old"]
    assert [trial.is_on for trial in found] == [True, False, False]


def test_a_trial_that_no_judge_has_seen_is_listed_all_the_same(store: Store) -> None:
    (found,) = read_trials(store, [RUNNING])
    assert (found.experiment, found.number) == ("e", None)
    assert read_trials(store, [replace(RUNNING, mode="off")]) == ()


def test_news_change_the_mark(store: Store) -> None:
    before = read_mark(store)
    keep(store, ledger(2))
    after = read_mark(store)
    assert after != before
    keep_trial(store)
    assert read_mark(store) != after


def test_the_experiment_file_says_who_is_on_trial(tmp_path: Path) -> None:
    file = Experiment(
        revision=4, effective_from=START, mode="split", split=0.25, champion=CHAMPION, challenger=CHALLENGER, salt="s"
    )
    write_experiment(tmp_path / "experiment.yaml", file)
    (found,) = read_running(sources_in(tmp_path))
    assert (found.id, found.phase, found.said_by, found.is_on) == (file.id, "split 25 %", BY_FILE, True)


def test_where_there_is_no_file_the_judge_says_it(store: Store, tmp_path: Path) -> None:
    keep(store, ledger(5))
    verdict = judge_experiment(store, RUNNING, RULES, lineage="churn", now=NOW)
    status = Status(
        experiment="e", revision=2, effective_from=START, mode="shadow", split=0.0,
        champion=CHAMPION, challenger=CHALLENGER, verdict=verdict, looked_at=NOW,
        logged=Logged(predictions=1, answered_champion=1, answered_challenger=0, outcomes=0),
    )  # fmt: skip
    sources = sources_in(tmp_path / "elsewhere", {"experiment": "e", "judge": status})
    assert ask_judge(sources) == status
    (found,) = read_running(sources)
    assert (found.id, found.said_by) == ("e", BY_JUDGE)


def test_where_nobody_says_it_both_reasons_are_given(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no experiment file .*; scoring at .* does not answer"):
        read_running(sources_in(tmp_path))


def test_an_answer_that_is_no_experiment_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="something else than an experiment"):
        ask_judge(sources_in(tmp_path, {"judge": {"hello": 1}}))


def test_a_service_without_its_judge_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    away = {"status": "unavailable", "reason": "it does not answer in time"}
    with pytest.raises(Unavailable, match="the judge does not: it does not answer in time"):
        ask_judge(sources_in(tmp_path, {"experiment": "e", "judge": away}))


def test_without_any_trial_there_is_no_empty_chart(tmp_path: Path) -> None:
    shown = page._trial(sources_in(tmp_path), None, with_open=False)
    assert "No trial was ever begun" in shown.children
    assert page._rest(sources_in(tmp_path), None) is None
    assert page._awaited(sources_in(tmp_path), None) is None


def test_without_an_experiment_the_first_screen_says_what_to_do_in_one_command(tmp_path: Path) -> None:
    card, why = page._now(sources_in(tmp_path)).children
    assert card.children[2].children.children == f"gauntlet package --folder {tmp_path}"
    assert why.children.startswith("Nobody says who is on trial")
