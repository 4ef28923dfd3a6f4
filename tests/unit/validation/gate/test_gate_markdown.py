from report_toys import report_around

from validation.gate.markdown import to_markdown
from validation.gate.report import CheckResult

WRONG = CheckResult(
    name="accuracy", kind="performance", status="FAIL", reason="0.7 must be at least 0.75", value=0.7,
    low=0.68, high=0.72, allowed="at least 0.75", champion=0.8,
)  # fmt: skip
RIGHT = CheckResult(name="roc_auc", kind="performance", status="PASS", reason="fine", value=0.9, allowed="above 0.8")


def test_the_verdict_and_its_reasons_stand_before_the_checks():
    text = to_markdown(report_around([RIGHT, WRONG]))
    lines = text.splitlines()
    assert lines[0] == "## Gate: FAIL, toy version 2"
    assert "against toy version 1 by the policy `p`, on 1,409 held-out synthetic rows." in lines[2]
    assert lines[4] == "- accuracy: 0.7 must be at least 0.75"
    row = "| FAIL | `accuracy` | 0.7000 | 0.6800 to 0.7200 | at least 0.75 | 0.8000 |"
    assert row in lines
    assert lines.index(row) < lines.index("<details><summary>1 checks that hold</summary>")


def test_a_report_that_passed_has_no_table_of_failures():
    text = to_markdown(report_around([RIGHT], champion=None))
    assert text.count("| status |") == 1
    assert "with no champion to compare it with" in text
