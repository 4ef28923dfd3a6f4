import io
import itertools
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from rich.console import Console

from bentos.artifact import check_blessing
from bentos.errors import BadInput
from validation.gate.report import (
    EXIT_CODES,
    WORST_FIRST,
    CheckResult,
    GateReport,
    JudgedBy,
    JudgedOn,
    Model,
    blessing_of,
    dump_report,
    parse_report,
    reasons_of,
    verdict_of,
)
from validation.gate.terminal import next_commands, render

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def check(name, status, reason="because", **changes):
    return CheckResult(name=name, status=status, reason=reason, **changes)


def report(*checks, **changes):
    verdict = verdict_of(checks)
    found = GateReport(
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        candidate=Model(name="toy", version="2", digest="sha256:" + "a" * 64),
        champion=Model(name="toy", version="1", digest="sha256:" + "b" * 64),
        judged_by=JudgedBy(policy="p", policy_digest="sha256:" + "c" * 64, seed=5, code="gauntlet 0"),
        judged_on=JudgedOn(data="sha256:d", holdout="sha256:e", n=1409, is_synthetic=True),
        checks=checks,
        reasons=reasons_of(checks),
        blessing=None,
        judged_at=NOW,
        seconds=1.25,
    )
    found = msgspec.structs.replace(found, blessing=blessing_of(found, 30))
    return msgspec.structs.replace(found, **changes)


@pytest.mark.parametrize(("worse", "better"), list(itertools.combinations(WORST_FIRST[:4], 2)))
def test_the_worst_status_wins_wherever_it_stands(worse, better):
    assert verdict_of([check("a", better), check("b", worse)]) == worse
    assert verdict_of([check("a", worse), check("b", better)]) == worse


@pytest.mark.parametrize("checks", [[], [check("a", "NOT_APPLICABLE")]])
def test_a_gate_that_judged_nothing_is_an_error(checks):
    assert verdict_of(checks) == "ERROR"
    assert reasons_of(checks)[0] == "no check could judge anything, and that is no pass"


def test_what_is_not_applicable_does_not_spoil_a_pass_and_is_told():
    checks = [check("a", "PASS"), check("mcnemar", "NOT_APPLICABLE", "not applicable: first model")]
    assert verdict_of(checks) == "PASS"
    assert reasons_of(checks) == ("1 of 2 checks passed", "mcnemar: not applicable: first model")


def test_reasons_name_the_worst_first_and_one_reason_once():
    checks = [
        check("a", "INCONCLUSIVE", "x"),
        check("b", "ERROR", "y"),
        check("c", "FAIL", "z"),
        check("d", "ERROR", "y"),
    ]
    assert reasons_of(checks) == ("b, d: y", "c: z", "a: x", "0 of 4 checks passed")


def test_exit_codes_are_what_every_command_line_promises():
    assert EXIT_CODES == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2, "ERROR": 3}


def test_a_report_survives_its_file_and_leaves_its_own_path_out():
    found = report(check("a", "PASS", value=0.8, low=0.7, high=0.9, bound=0.75, n=10, details={"b": 1.0}))
    written = dump_report(msgspec.structs.replace(found, report_path="/somewhere/report.json"))
    assert parse_report(written, "report.json") == found
    assert b"somewhere" not in written
    keys = json.loads(written)
    assert keys["schema_version"] == 2
    assert list(keys) == sorted(keys)


@pytest.mark.parametrize("change", [{"schema_version": 3}, {"unknown": 1}, {"verdict": "MAYBE"}])
def test_a_report_of_another_form_is_refused(change):
    found = {**json.loads(dump_report(report(check("a", "PASS")))), **change}
    with pytest.raises(BadInput, match=r"report\.json"):
        parse_report(json.dumps(found).encode(), "report.json")


def test_a_pass_is_blessed_with_its_evidence_until_its_day():
    found = report(
        check("accuracy", "PASS", value=0.8, low=0.78, high=0.82, bound=0.75), check("mcnemar", "NOT_APPLICABLE")
    )
    assert found.blessing.artifact == found.candidate.digest
    assert found.blessing.baseline == found.champion.digest
    assert (found.blessing.policy, found.blessing.n, found.blessing.seed) == ("sha256:" + "c" * 64, 1409, 5)
    assert [(c.name, c.value, c.bound) for c in found.blessing.checks] == [("accuracy", 0.8, 0.75)]
    assert found.blessing.expires_at == NOW + timedelta(days=30)
    check_blessing(found.blessing, artifact=found.candidate.digest, now=NOW, scope="split")


@pytest.mark.parametrize("status", ["FAIL", "INCONCLUSIVE", "ERROR"])
def test_nothing_but_a_pass_is_blessed(status):
    assert report(check("a", "PASS"), check("b", status)).blessing is None


def drawn(found, width=100):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render(found))
    return console.file.getvalue()


def test_the_terminal_shows_failures_on_top_and_one_line_a_check():
    checks = [
        check("accuracy", "PASS", value=0.8, low=0.78, high=0.82, allowed="at least 0.75", champion=0.79),
        check("accuracy_gap[SeniorCitizen]", "INCONCLUSIVE", value=0.1, low=0.05, high=0.15, allowed="at most 0.1"),
        check("accuracy_drop[noise 0.01]", "FAIL", value=-0.1, low=-0.15, high=-0.05, allowed="below 0.1"),
        check("mcnemar", "NOT_APPLICABLE"),
        check("roc_auc", "ERROR"),
    ]
    lines = drawn(report(*checks)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Status"))
    assert [line.split()[:2] for line in lines[start + 1 : start + 6]] == [
        ["ERROR", "roc_auc"],
        ["FAIL", "accuracy_drop[noise"],
        ["INCONCLUSIVE", "accuracy_gap[SeniorCitizen]"],
        ["PASS", "accuracy"],
        ["N/A", "mcnemar"],
    ]
    assert lines[start + 4].split()[2:] == ["0.8000", "0.7800", "to", "0.8200", ">=", "0.75", "0.7900"]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_terminal_loses_no_word_of_what_matters(width):
    found = report(check("accuracy", "FAIL", reason="0.7 must be at least 0.75", value=0.7, allowed="at least 0.75"))
    text = drawn(found, width)
    assert all(len(line) <= width for line in text.splitlines())
    for word in ("FAIL", "0.7000", ">= 0.75", "not blessed", "exit code 1", "SYNTHETIC", "toy version 2"):
        assert word in text


def test_the_terminal_says_that_a_first_model_had_nobody_to_be_compared_with():
    assert "first model: there is no champion" in drawn(report(check("a", "PASS"), champion=None))


def test_the_terminal_does_not_round_a_tiny_p_value_to_zero():
    assert "4e-16" in drawn(report(check("mcnemar", "FAIL", value=4.365e-16, allowed="not worse")))


def test_the_next_command_follows_from_what_was_blessed():
    passed = report(check("a", "PASS"))
    awaiting = report(check("a", "PASS"), check("non_inferiority[accuracy]", "INCONCLUSIVE", on_inconclusive="shadow"))
    assert next_commands(passed)[0] == "package --challenger models:/toy/2"
    assert awaiting.blessing.scope == "shadow"
    assert next_commands(awaiting)[-1] == "experiment shadow models:/toy/2"
    assert "for the shadow alone: live customers decide non_inferiority[accuracy]" in drawn(awaiting)
    first = msgspec.structs.replace(passed, champion=None)
    assert next_commands(first) == ("promote --bootstrap models:/toy/2",)
    assert next_commands(msgspec.structs.replace(first, is_renewal=True)) == ("package",)
    assert next_commands(report(check("a", "FAIL"))) == ()
    assert next_commands(report(check("a", "INCONCLUSIVE"))) == ()
