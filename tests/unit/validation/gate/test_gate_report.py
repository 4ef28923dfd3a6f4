import io
import itertools
import json
from datetime import timedelta

import msgspec
import pytest
from report_toys import NOW, report_around
from rich.console import Console

from bentos.artifact import check_blessing
from bentos.errors import BadInput
from validation.gate.page import to_html
from validation.gate.report import (
    EXIT_CODES,
    WORST_FIRST,
    CheckResult,
    Part,
    blessing_of,
    dump_report,
    parse_report,
    reasons_of,
    verdict_of,
)
from validation.gate.terminal import next_commands, render


def check(name, status, reason="because", **changes):
    return CheckResult(name=name, status=status, reason=reason, **changes)


def report(*checks, **changes):
    found = report_around(checks)
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


def test_a_report_of_version_1_is_read():
    """As gates of that version wrote it."""
    model = {"digest": "sha256:a", "name": "toy", "version": "2"}
    old = {
        "schema_version": 1,
        "verdict": "FAIL",
        "exit_code": 1,
        "candidate": model,
        "champion": {**model, "version": "1"},
        "judged_by": {"code": "gauntlet 0", "policy": "p", "policy_digest": "sha256:c", "seed": 5},
        "judged_on": {"data": "sha256:d", "holdout": "sha256:e", "is_synthetic": True, "n": 1409},
        "checks": [
            {
                "name": "accuracy", "status": "FAIL", "reason": "0.7 must be at least 0.75", "value": 0.7, "low": 0.68,
                "high": 0.72, "bound": 0.75, "allowed": "at least 0.75", "champion": 0.8, "n": 1409, "details": {},
            }
        ],
        "reasons": ["accuracy: 0.7 must be at least 0.75", "0 of 1 checks passed"],
        "blessing": None,
        "judged_at": "2026-03-01T12:00:00Z",
        "seconds": 1.25,
    }  # fmt: skip
    found = parse_report(json.dumps(old).encode(), "old.json")
    assert (found.verdict, found.checks[0].bound, found.answers) == ("FAIL", 0.75, ())
    page = to_html(found).decode()
    assert "at least 0.75" in page
    assert "0.7 must be at least 0.75" in drawn(found)


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


def many():
    """More checks than have a line each, two of which failed."""
    slices = (
        Part(name="plan=a", n=90, value=0.5, low=0.4, high=0.6, champion=0.7, status="FAIL"),
        Part(name="plan=b", n=90, value=0.8, status="PASS"),
    )
    passed = [check(f"accuracy_drop[noise {i}]", "PASS", kind="noise", value=0.001) for i in range(12)]
    return report(
        *passed,
        check("accuracy", "PASS", kind="performance", value=0.8123),
        check("slices_against_champion", "PASS", kind="slices_against_champion", value=0.9, parts=slices[1:]),
        check("latency", "FAIL", kind="latency", allowed="at most 5000 us", details={"p99_us": 6000.4}),
        check("slices[accuracy]", "FAIL", kind="slices", value=0.5, parts=slices),
    )


def test_many_checks_that_passed_are_summed_up_and_those_that_failed_are_not():
    text = drawn(many(), 80)
    assert all(len(line) <= 80 for line in text.splitlines())
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "FAIL latency 6,000 us - <= 5000 us -" in lines
    assert "plan=a 0.5000 0.4000 to 0.6000 0.7000" in lines
    assert not any(line.startswith("plan=b") for line in lines)
    assert "performance 1 accuracy 0.8123" in lines
    assert "slices 1 slices_against_champion (worst: plan=b 0.8000)" in lines
    assert any(line.startswith("robustness 12 accuracy_drop[noise 0; noise 1; noise 2;") for line in lines)
    assert "accuracy_drop[noise 11]" not in text


def test_verbose_gives_every_check_a_line():
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(render(many(), verbose=True))
    text = console.file.getvalue()
    assert all(f"accuracy_drop[noise {i}] " in text for i in range(12))
    assert text.index("not passed") < text.index("latency") < text.index("performance") < text.index("robustness")


def test_the_last_line_names_the_page_and_what_was_lost_is_told():
    paths = {"report_path": "/r/gate.json", "page_path": "/r/gate.html"}
    assert drawn(report(check("a", "PASS"), **paths)).rstrip().endswith("report: /r/gate.html")
    text = drawn(report(check("a", "PASS"), report_path="/r/gate.json", lost="gate.html: KeyError: 'colour'"))
    assert text.rstrip().endswith("report: /r/gate.json")
    assert "ERROR: could not be drawn or kept: gate.html: KeyError: 'colour'" in text


def test_the_next_command_follows_from_what_was_blessed():
    passed = report(check("a", "PASS"))
    awaiting = report(check("a", "PASS"), check("non_inferiority[accuracy]", "INCONCLUSIVE", on_inconclusive="shadow"))
    assert next_commands(passed)[0] == "package --challenger models:/toy/2"
    assert awaiting.blessing.scope == "shadow"
    assert next_commands(awaiting)[-1] == "experiment shadow models:/toy/2"
    first = msgspec.structs.replace(passed, champion=None)
    assert next_commands(first) == ("promote --bootstrap models:/toy/2",)
    assert next_commands(msgspec.structs.replace(first, is_renewal=True)) == ("package",)
    assert next_commands(report(check("a", "FAIL"))) == ()
    assert next_commands(report(check("a", "INCONCLUSIVE"))) == ()
