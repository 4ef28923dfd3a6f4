"""What the pictures show of given numbers: rows in order, bounds on the right side, both models, exact ends."""

import re

import msgspec
import numpy as np
import pytest
from gate_evidence import evidence
from report_toys import report_around
from sklearn.metrics import precision_recall_curve, roc_curve

from validation.gate.answers import answers_of
from validation.gate.figures import figures_of
from validation.gate.forest import forest, part_of
from validation.gate.report import CheckResult, Part
from validation.gate.strips import strip
from validation.pages import BOUND, CANDIDATE, CHAMPION

CHECK = CheckResult(
    name="accuracy", kind="performance", status="PASS", reason="r", value=0.8, low=0.7, high=0.9, bound=0.6,
    allowed="at least 0.6", champion=0.75, champion_low=0.65, champion_high=0.85, n=100,
)  # fmt: skip


def check(name, kind, **changes):
    return msgspec.structs.replace(CHECK, name=name, kind=kind, **changes)


def figures(*checks, answers=()):
    report = report_around(checks, champion=None, answers=answers)
    return {figure.name: figure for figure in figures_of(report)}


def traces(figure):
    return {trace["name"]: trace for trace in figure.traces}


# ---- forests ---------------------------------------------------------------------------------------------------------


def test_a_row_has_both_models_with_their_intervals_and_the_bound():
    drawn = traces(figures(CHECK, check("f1", "performance", value=0.5, bound=0.7))["performance"])
    assert (drawn["candidate"]["x"], drawn["champion"]["x"]) == ([0.8, 0.5], [0.75, 0.75])
    assert drawn["bound"]["x"] == [0.6, 0.7]
    assert [round(reach, 6) for reach in drawn["candidate"]["error_x"]["array"][:1]] == [0.1]
    assert [round(reach, 6) for reach in drawn["champion"]["error_x"]["arrayminus"]] == [0.1, 0.1]
    above, below = drawn["candidate"]["y"][0], drawn["champion"]["y"][0]
    assert above < 0 < below  # the axis runs downwards
    assert {drawn[name]["marker"]["color"] for name in drawn} == {CANDIDATE, CHAMPION, BOUND}


def test_what_could_not_be_measured_has_no_dot_and_is_in_the_table():
    figure = forest("f", "t", "s", [Part(name="a", value=None), part_of(CHECK)], bounds=[None, 0.6])
    assert figure.layout["yaxis"]["ticktext"] == ["accuracy"]
    assert [row[0] for row in figure.table[1]] == ["a", "accuracy"]
    assert figure.table[1][0][1] == ""


def test_columns_that_nobody_fills_are_left_out():
    figure = forest("f", "t", "s", [Part(name="a", value=0.5)])
    assert figure.table == (("", "candidate"), [("a", "0.5000")])


def test_only_the_first_slices_are_drawn_and_all_are_in_the_table():
    parts = tuple(Part(name=f"f={i}", value=i / 100, status="FAIL" if i == 0 else "PASS") for i in range(40))
    figure = figures(check("slices[accuracy]", "slices", parts=parts))["slices0"]
    assert len(figure.layout["yaxis"]["ticktext"]) == 16
    assert figure.layout["yaxis"]["ticktext"][:2] == ["✗ f=0", "f=1"]
    assert len(figure.table[1]) == 40
    assert "16 of 40" in figure.says


def test_gaps_stand_before_the_groups_that_they_are_between():
    parts = (Part(name="gender=a", value=0.7), Part(name="gender=b", value=0.8))
    found = figures(
        check("fairness[tpr, gender]", "fairness", value=0.1, bound=0.4, parts=parts),
        check("accuracy_gap[SeniorCitizen]", "accuracy_gap", value=0.05, bound=0.1, parts=parts),
    )
    assert list(found) == ["gaps", "groups0", "groups1"]
    names = ["Positives found by gender", "Accuracy by SeniorCitizen"]
    assert found["gaps"].layout["yaxis"]["ticktext"] == names
    assert [found["groups0"].title, found["groups1"].title] == names


def test_a_curve_of_robustness_starts_at_no_change_and_keeps_the_levels_order():
    found = figures(
        *(
            check(f"accuracy_drop[noise {level:g}]", "noise", value=level / 10, champion=None, bound=0.02)
            for level in (0.1, 0.01)
        ),
        check("accuracy_drop[missing 0.05]", "missing"),
    )
    assert list(found) == ["robustness", "falling_noise"]
    drawn = traces(found["falling_noise"])
    assert (drawn["candidate"]["x"], drawn["candidate"]["y"]) == ([0.0, 0.01, 0.1], [0.0, 0.001, 0.01])
    assert drawn["bound"]["y"] == [0.02, 0.02]
    assert "champion" not in drawn


def test_a_direction_is_a_curve_over_numbers_or_categories():
    numbers = (Part(name="tenure 0", value=0.5, champion=0.4), Part(name="tenure 72", value=0.1, champion=0.1))
    words = (Part(name="plan monthly", value=0.5), Part(name="plan yearly", value=0.1))
    found = figures(
        check("direction[tenure]", "direction", parts=numbers), check("direction[plan]", "direction", parts=words)
    )
    assert traces(found["direction0"])["candidate"]["x"] == [0.0, 72.0]
    assert traces(found["direction0"])["champion"]["y"] == [0.4, 0.1]
    assert traces(found["direction1"])["candidate"]["x"] == ["monthly", "yearly"]


# ---- answers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answered():
    rng = np.random.default_rng(3)
    truth = rng.random(500) < 0.4
    score = np.round(np.clip(0.4 * truth + 0.3 + 0.25 * rng.standard_normal(500), 0.01, 0.99), 2).astype(np.float32)
    return truth, score, answers_of(evidence(score, score[::-1].copy(), truth=truth))


def test_curves_lie_on_those_of_scikit_learn_with_their_ends(answered):
    truth, score, (candidate, _) = answered
    false, true, _ = roc_curve(truth, score, drop_intermediate=False)
    curve = candidate.roc
    assert set(zip(curve.x, curve.y, strict=True)) <= set(zip(false.round(6), true.round(6), strict=True))
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    precision, recall, _ = precision_recall_curve(truth, score)
    curve = candidate.precision_recall
    assert set(zip(curve.x, curve.y, strict=True)) <= set(zip(recall.round(6), precision.round(6), strict=True))
    assert (curve.x[0], curve.y[0], curve.x[-1]) == (0, 1, 1)
    assert curve.y[-1] == pytest.approx(truth.mean(), abs=1e-6)


def test_a_curve_of_many_rows_has_few_points_and_both_ends():
    rng = np.random.default_rng(4)
    truth, score = rng.random(5000) < 0.3, rng.random(5000).astype(np.float32)
    (one,) = answers_of(evidence(score, truth=truth))
    assert len(one.roc.x) <= 200
    assert (one.roc.x[-1], one.roc.y[-1]) == (1, 1)


def test_counts_add_up_to_the_rows_in_every_picture(answered):
    truth, score, (candidate, champion) = answered
    for one in (candidate, champion):
        assert one.tp + one.fn == truth.sum()
        assert one.tp + one.fp + one.fn + one.tn == 500
        assert [sum(counts) for counts in one.histogram] == [(~truth).sum(), truth.sum()]
        assert sum(part.n for part in one.calibration) == 500
    assert candidate.tp == int((truth & (score >= 0.5)).sum())


def test_confusion_shows_counts_and_shares_of_each_truth(answered):
    _, _, (candidate, champion) = answered
    found = figures(answers=(candidate, champion))
    (matrix,) = found["confusion_candidate"].traces
    assert matrix["text"][0][0] == f"{candidate.tp:,}<br>{candidate.tp / (candidate.tp + candidate.fn):.0%}"
    assert found["confusion_champion"].table[1][1] == ("truly negative", f"{champion.fp:,}", f"{champion.tn:,}")


def test_a_candidate_without_probabilities_leaves_the_champion_in_its_own_colour(answered):
    _, _, (_, champion) = answered
    drawn = traces(figures(answers=(champion,))["roc"])
    assert drawn["champion"]["line"]["color"] == CHAMPION
    assert "candidate" not in drawn


def test_calibration_tells_slope_and_intercept(answered):
    _, _, (candidate, champion) = answered
    rows = dict(row[:2] for row in figures(answers=(candidate, champion))["calibration"].table[1])
    assert rows["candidate, slope"] == f"{candidate.slope:.4f}"
    assert rows["champion, intercept"] == f"{champion.intercept:.4f}"


# ---- strips ----------------------------------------------------------------------------------------------------------


def places(found, role):
    """Where a model's dot and the ends of its interval lie."""
    dot = re.search(rf'<circle class="{role}" cx="([\d.]+)"', found)
    span = re.search(rf'<path class="{role}" d="M([\d.]+) [\d.]+H([\d.]+)"', found)
    return [float(number) for number in (span[1], dot[1], span[2])]


@pytest.mark.parametrize("allowed", ["at least 0.6", "above 0.6", "at most 0.6", "below 0.6"])
def test_a_strip_has_numbers_in_order_and_shades_the_side_that_is_allowed(allowed):
    found = strip(msgspec.structs.replace(CHECK, allowed=allowed))
    bound = float(re.search(r'class="bound" d="M([\d.]+) ', found)[1])
    low, value, high = places(found, "candidate")
    assert bound < places(found, "champion")[0] < low < value < high
    left, width = re.search(r'class="allowed" x="([\d.]+)" y="1" width="([\d.]+)"', found).groups()
    assert (float(left), float(width)) == ((bound, 160 - bound) if allowed[:2] in ("at", "ab") and "most" not in allowed
                                           else (0.0, bound))  # fmt: skip


@pytest.mark.parametrize("changes", [{"value": None}, {"bound": None}, {"allowed": "not worse"}])
def test_there_is_no_strip_without_a_number_and_a_side(changes):
    assert strip(msgspec.structs.replace(CHECK, **changes)) == ""


def test_a_strip_of_one_number_divides_by_nothing():
    alone = CheckResult(name="a", status="PASS", reason="", value=0.5, bound=0.5, allowed="at most 0.5")
    assert 'cx="8.0"' in strip(alone)


def test_what_a_clock_said_is_drawn_from_the_details():
    latency = CheckResult(
        name="latency", status="PASS", reason="", bound=5000.0, allowed="at most 5000 us",
        details={"p99_us": 100.0, "champion_p99_us": 50.0},
    )  # fmt: skip
    assert 'class="champion"' in strip(latency)
