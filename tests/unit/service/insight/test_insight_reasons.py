"""Reasons in words: their sign and size are the number's, and their words the contract's."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insight_toys import BOOSTED, FOREST, LINEAR, OTHER, encoded, fitted
from serving_toys import CHECKOUT, CONTRACT, REFERENCE

from bentos.artifact import Categorical, Numeric
from bentos.errors import BadInput
from service.insight.explanation import ExplainedModel
from service.insight.reasons import say_phrase, say_reason, say_value
from training.use_case import load_use_case

TENURE = Numeric(name="tenure", minimum=0, maximum=72, unit="months", integer=True, description="How long a customer")
PLAN = Categorical(name="plan", categories=("A", "B"))


def given_words_of(contract):
    return set(re.findall(r"[A-Za-z-]+", msgspec.json.encode(contract).decode()))


def explained(estimator, without=(), row=0):
    return ExplainedModel(fitted(estimator, without), CONTRACT, REFERENCE).explain(encoded()[row])


@pytest.mark.parametrize(
    ("contribution", "space", "said"),
    [
        (0.0421, "probability", 'adds 4.2 percentage points to the probability of Churn = "Yes".'),
        (-0.3, "probability", 'takes 30.0 percentage points from the probability of Churn = "Yes".'),
        (0.0004, "probability", 'adds less than 0.1 percentage points to the probability of Churn = "Yes".'),
        (-1e-9, "probability", 'takes less than 0.1 percentage points from the probability of Churn = "Yes".'),
        (1.234, "log_odds", 'adds 1.23 to the log-odds of Churn = "Yes".'),
        (-0.5, "log_odds", 'takes 0.50 from the log-odds of Churn = "Yes".'),
        (-0.004, "log_odds", 'takes less than 0.01 from the log-odds of Churn = "Yes".'),
        (0.0, "log_odds", 'adds nothing to the log-odds of Churn = "Yes".'),
    ],
)
def test_a_sentence_says_sign_size_and_what_it_adds_to(contribution, space, said):
    sentence = say_reason(CONTRACT, TENURE, 3.0, contribution, space)
    assert sentence == f"tenure is 3 months (How long a customer): {said}"


@given(st.floats(-5, 5), st.sampled_from(["probability", "log_odds"]))
def test_the_number_that_is_said_is_the_contribution_to_the_last_digit(contribution, space):
    sentence = say_reason(CONTRACT, PLAN, "A", contribution, space)
    unit, digit = (100, 0.1) if space == "probability" else (1, 0.01)
    if contribution == 0:
        assert "adds nothing" in sentence
        return
    verb, less, size = re.search(r": (adds|takes) (less than )?([\d.]+)", sentence).groups()
    assert verb == ("adds" if contribution > 0 else "takes")
    if less:
        assert abs(contribution) * unit < float(size) == digit
    else:
        assert float(size) == pytest.approx(abs(contribution) * unit, abs=0.51 * digit)


@pytest.mark.parametrize(
    ("feature", "value", "said"),
    [
        (TENURE, 3.0, "3 months"),
        (TENURE, None, "missing"),
        (Numeric(name="share", minimum=0, maximum=1), 0.1, "0.1"),
        (Numeric(name="large", minimum=0, maximum=1e7, unit="USD"), 1234567.0, "1234567 USD"),
        (PLAN, "A", '"A"'),
        (PLAN, None, "missing"),
    ],
)
def test_values_are_said_as_people_write_them(feature, value, said):
    assert say_value(feature, value) == said


@pytest.mark.parametrize("estimator", [LINEAR, FOREST, BOOSTED, OTHER])
def test_reasons_are_the_contributions_sorted_by_size(estimator):
    found = explained(estimator)
    sizes = [abs(reason.contribution) for reason in found.reasons]
    assert sizes == sorted(sizes, reverse=True)
    assert {reason.feature: reason.contribution for reason in found.reasons} == found.contributions
    assert list(found.contributions) == [feature.name for feature in CONTRACT.features]
    assert found.check.sum == pytest.approx(found.base_value + sum(found.contributions.values()), abs=1e-12)
    assert abs(found.check.sum - found.check.output) <= 1e-6


@pytest.mark.parametrize("estimator", [LINEAR, FOREST, BOOSTED, OTHER])
def test_every_word_is_the_contracts_or_one_of_a_fixed_few(estimator):
    """No causes: whatever a sentence holds beside the contract's words and numbers is arithmetic."""
    ours = {
        "is", "missing", "adds", "takes", "less", "than", "percentage", "points", "to", "from", "the", "probability",
        "log-odds", "of", "nothing",
    }  # fmt: skip
    ours |= {word.capitalize() for word in given_words_of(CONTRACT)}
    given_words = given_words_of(CONTRACT)
    for row in range(10):
        for reason in explained(estimator, row=row).reasons:
            words = set(re.findall(r"[A-Za-z-]+", reason.sentence))
            assert words - given_words <= ours


def test_protected_features_are_marked_and_unread_ones_say_so():
    reasons = {reason.feature: reason for reason in explained(LINEAR, without=("charges",)).reasons}
    assert [name for name, reason in reasons.items() if reason.is_protected] == ["senior"]
    assert [name for name, reason in reasons.items() if not reason.is_read] == ["charges"]
    assert reasons["charges"].contribution == 0
    assert reasons["charges"].sentence.endswith(": this model does not read it.")


def test_the_summary_gives_answer_start_and_what_counts_most():
    found = explained(FOREST)
    said = re.fullmatch(
        r'The probability of Churn = "Yes" is ([\d.]+)%\. The model starts from ([\d.]+)%, and '
        r"knowing every feature (adds|takes) ([\d.]+) percentage points\. What counts most: (.+)\.",
        found.summary,
    )
    assert said is not None, found.summary
    assert float(said[1]) == pytest.approx(found.probability * 100, abs=0.051)
    assert float(said[2]) == pytest.approx(found.base_value * 100, abs=0.051)
    assert said[3] == ("adds" if found.probability > found.base_value else "takes")
    assert said[5].split(", ") == [reason.feature for reason in found.reasons[:3]]


def test_a_summary_in_log_odds_says_the_probability_too():
    found = explained(BOOSTED)
    assert f'The log-odds of Churn = "Yes" are {found.check.output:.2f}, a probability of ' in found.summary
    assert f"{found.probability:.1%}" in found.summary


def test_a_sentence_names_the_value_by_its_phrase():
    plan, charges = CONTRACT.feature("contract"), CONTRACT.feature("charges")
    assert say_reason(CONTRACT, plan, "Month-to-month", 0.18, "probability") == (
        'A month-to-month contract: adds 18.0 percentage points to the probability of Churn = "Yes".'
    )
    assert say_reason(CONTRACT, charges, 70.5, -0.3, "log_odds") == (
        '70.5 USD a month: takes 0.30 from the log-odds of Churn = "Yes".'
    )
    assert say_reason(CONTRACT, charges, None, 0.3, "log_odds").startswith("No charges yet: adds 0.30")
    assert say_phrase(plan, "Two year") == 'contract is "Two year"'


PLAIN = re.compile(
    r'The model\'s probability is ([\d.]+)% for Churn = "Yes"; this risk is (low|high)\.'
    r"(?: Raising it most: (?P<up>.+?), (?:together )?(?:by (?P<up_points>[\d.]+) percentage points"
    r"|multiplying the odds by (?P<up_odds>[\d.]+))\.)?"
    r"(?: Lowering it most: (?P<down>.+?), (?:together )?(?:by (?P<down_points>[\d.]+) percentage points"
    r"|dividing the odds by (?P<down_odds>[\d.]+))\.)?"
    r" These are shares of the model's sum, and no causes\."
)


@pytest.mark.parametrize("estimator", [LINEAR, FOREST, BOOSTED, OTHER])
@pytest.mark.parametrize("row", range(6))
def test_the_plain_answer_holds_sign_and_size_of_what_it_names(estimator, row):
    found = explained(estimator, row=row)
    said = PLAIN.fullmatch(found.plain)
    assert said is not None, found.plain
    assert float(said[1]) == pytest.approx(found.probability * 100, abs=0.051)
    assert said[2] == found.risk
    smallest = 0.001 if found.space == "probability" else 0.01
    for side, sign in (("up", 1), ("down", -1)):
        named = [one for one in found.reasons if sign * one.contribution >= smallest][:3]
        assert (said[side] or "") == ", ".join(one.phrase for one in named[:-1]) + (
            (" and " if len(named) > 1 else "") + named[-1].phrase if named else ""
        )
        total = abs(sum(one.contribution for one in named))
        if named and found.space == "probability":
            assert float(said[f"{side}_points"]) == pytest.approx(total * 100, abs=0.051)
        elif named:
            assert float(said[f"{side}_odds"]) == pytest.approx(np.exp(total), abs=0.0051)


def test_reasons_say_what_the_company_can_change():
    reasons = {reason.feature: reason for reason in explained(FOREST).reasons}
    assert sorted(name for name, reason in reasons.items() if reason.is_actionable) == ["charges", "contract"]


CAUSES = re.compile(r"\b(because|cause[sd]?|due to|leads? to|why|therefore|unhappy|wants?|likely to)\b", re.IGNORECASE)


def test_telco_s_phrases_say_what_is_and_never_why():
    """Phrases are what sentences are made of: one that held a motive would be said of every such customer."""
    contract = load_use_case(CHECKOUT / "training" / "use_cases" / "telco_churn.yaml").contract
    for feature in contract.features:
        values = (*feature.categories, None) if isinstance(feature, Categorical) else (0.0, 1.0, 70.25, None)
        for value in values:
            assert not CAUSES.search(say_reason(contract, feature, value, 0.1, "probability"))


def test_label_and_risk_are_the_contracts_for_the_probability():
    for row in range(10):
        found = explained(FOREST, row=row)
        assert (found.label, found.risk) == (CONTRACT.label(found.probability), CONTRACT.risk(found.probability))


def test_a_row_of_another_width_is_refused():
    with pytest.raises(BadInput, match="9 columns"):
        ExplainedModel(fitted(LINEAR), CONTRACT, REFERENCE).explain(np.zeros(9, dtype=np.float32))
