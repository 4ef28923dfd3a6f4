"""The report as a page and as JUnit: nothing lost, nothing let in from names, the same bytes every time."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

import jsonschema_rs
import msgspec
import numpy as np
import pytest
from gate_evidence import CONTRACT, columns_of, evidence, number
from report_toys import CANDIDATE, CHAMPION, report_around

from bentos.artifact import Categorical
from validation.gate.answers import answers_of
from validation.gate.checks import KINDS, run_checks
from validation.gate.figures import figures_of
from validation.gate.junit import to_junit
from validation.gate.page import to_html
from validation.gate.report import (
    SCHEMA,
    CheckResult,
    blessing_of,
    dump_report,
    parse_report,
    report_schema,
    same_judgement,
)

EVIL = "<script>alert(1)</script>"
N = 600


def rules():
    judged = {"judge_by": "interval", "on_inconclusive": "point"}
    return (
        KINDS["performance"](metric="accuracy", at_least=0.6, **judged),
        KINDS["non_inferiority"](metric="accuracy", margin=0.05, **judged),
        KINDS["slices"](metric="accuracy", at_least=0.3),
        KINDS["slices_against_champion"](margin=0.1),
        KINDS["fairness"](measures=("accuracy", "tpr"), attributes="all", at_most=0.5, **judged),
        KINDS["flips"](shares=(0.01, 0.02, 0.05), accuracy_drop_below=0.5, **judged),
        KINDS["importance"](),
        KINDS["latency"](p99_us_at_most=1e6),
    )


def judged(candidate=None, champion=None, seed=1):
    rng = np.random.default_rng(seed)
    contract = msgspec.structs.replace(
        CONTRACT, features=(*CONTRACT.features[:3], Categorical(name="plan", categories=(EVIL, "yearly")))
    )
    columns = columns_of(N, tenure=rng.integers(0, 73, N).tolist(), plan=rng.choice([EVIL, "yearly"], N).tolist())

    def by_tenure(rows):
        return (0.9 - rows[:, 0] / 90).astype(np.float32)

    truth = rng.random(N) < 0.9 - np.array(columns["tenure"]) / 90
    return evidence(
        candidate or by_tenure,
        champion or (lambda rows: by_tenure(rows) * 0.9),
        truth=truth,
        columns=columns,
        contract=contract,
        groups={"gender": tuple(rng.choice(["a", EVIL], N))},
        numbers=(number(0, deviation=20.0, high=72.0),),
    )


def report_of(found, asked=None, **changes):
    checks = run_checks(asked or rules(), found, bootstrap=True)
    champion = CHAMPION if found.champion else None
    candidate = msgspec.structs.replace(CANDIDATE, name=EVIL)
    report = report_around(checks, n=N, candidate=candidate, champion=champion, answers=answers_of(found))
    report = msgspec.structs.replace(report, blessing=blessing_of(report, 30))
    return msgspec.structs.replace(report, **changes)


class Page(HTMLParser):
    """Tags, ids and text outside of scripts and styles."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.ids, self.links, self.text, self._inside = [], [], [], [], ""
        self.feed(content.decode())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._inside = tag
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[key] for key in ("src", "href") if key in found]

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.text.append(data)


@pytest.fixture(scope="module")
def report():
    return report_of(judged())


@pytest.fixture(scope="module")
def page(report):
    return to_html(report)


def test_the_page_needs_nothing_else_and_its_links_lead_somewhere_on_it(page):
    found = Page(page)
    assert found.links
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert b"default-src 'none'" in page


def test_names_of_users_are_text_and_never_code(page):
    found = Page(page)
    assert found.tags.count("script") == 2  # Plotly's and the page's own
    assert any(EVIL in text for text in found.text)
    own = page.decode().rpartition("<script>")[2]
    assert "<script" not in own
    assert "\\u003cscript" in own or "&lt;script" in own


def test_every_check_and_every_picture_is_on_it(report, page):
    found = Page(page)
    text = " ".join(found.text)
    for check in report.checks:
        assert check.name in text
    names = [figure.name for figure in figures_of(report)]
    assert len(set(names)) == len(names) >= 9
    assert set(names) <= set(found.ids)
    assert len(set(found.ids)) == len(found.ids)


def test_every_picture_has_its_numbers_and_draws_finite_ones(report):
    for figure in figures_of(report):
        heading, rows = figure.table
        assert rows
        assert all(len(row) == len(heading) for row in rows)
        json.dumps(figure.traces, allow_nan=False)


def test_the_same_report_gives_the_same_bytes(report, page):
    assert to_html(report) == page
    assert to_junit(report) == to_junit(report)


def test_a_seed_decides_everything_but_what_a_clock_says():
    first, second = report_of(judged()), report_of(judged(), seconds=9.0)
    assert same_judgement(first) == same_judgement(second)
    assert dump_report(first) != dump_report(second)
    assert same_judgement(first) != same_judgement(report_of(judged(seed=2)))


def test_the_committed_schema_is_that_of_the_code():
    assert SCHEMA.read_bytes() == report_schema()
    schema = json.loads(report_schema())
    assert "GateReport" in schema["$defs"]


def test_a_report_keeps_to_the_schema(report):
    schema = jsonschema_rs.validator_for(json.loads(report_schema()))
    written = json.loads(dump_report(report))
    assert schema.is_valid(written)
    assert not schema.is_valid({**written, "verdict": "MAYBE"})
    assert not schema.is_valid({key: value for key, value in written.items() if key != "checks"})


def test_a_report_is_read_as_it_was_written(report):
    assert parse_report(dump_report(report), "r") == report


@pytest.mark.parametrize("answer", [lambda rows: np.full(len(rows), np.nan, dtype=np.float32), None])
def test_what_could_not_be_judged_is_drawn_too(answer):
    found = judged(candidate=answer) if answer else judged()
    if answer is None:
        found = dataclasses.replace(found, champion=None)
    report = report_of(found)
    text = " ".join(Page(to_html(report)).text)
    assert report.verdict in text
    if answer:
        assert report.verdict == "ERROR"
        assert [one.role for one in report.answers] == ["champion"]
        assert "gives no probability" in text
    else:
        assert "a first model, without a champion beside it" in text
        assert "first model, no champion to compare with" in text


def test_failing_rules_come_before_everything_else():
    strict = (KINDS["performance"](metric="accuracy", at_least=0.99, judge_by="point"), *rules())
    content = to_html(report_of(judged(), strict[:1] + strict[2:])).decode()
    assert content.index(">Not passed<") < content.index(">Performance<") < content.index(">All checks<")


def test_junit_has_a_case_a_check_and_inconclusive_is_no_success():
    checks = tuple(
        CheckResult(name=f"check {status}", kind="performance", status=status, reason=f"because {EVIL} \x01")
        for status in ("PASS", "FAIL", "INCONCLUSIVE", "ERROR", "NOT_APPLICABLE")
    )
    report = msgspec.structs.replace(report_of(judged()), checks=checks)
    (suite,) = Xml.fromstring(to_junit(report))
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "2", "errors": "1", "skipped": "1",
    }  # fmt: skip
    cases = {case.get("name"): [child.tag for child in case] for case in suite.findall("testcase")}
    assert cases == {
        "check PASS": ["system-out"],
        "check FAIL": ["failure"],
        "check INCONCLUSIVE": ["failure"],
        "check ERROR": ["error"],
        "check NOT_APPLICABLE": ["skipped"],
    }
    assert suite.find("testcase/failure[@type='inconclusive']").get("message") == f"because {EVIL} ?"
    assert re.match(rb"<\?xml", to_junit(report))
