"""Scoring: the champion always answers, the challenger never spoils an answer, and the record says what happened."""

import math
from dataclasses import replace

import pytest
from serving_toys import CONTRACT, FEATURES, NOW_MICROS

from bentos.artifact import Encoder
from bentos.errors import InvalidFeatures, Unavailable
from service.models import Identity, Model, Row
from service.routing import assign_variant
from service.scoring import Roles, ScoreRequest, score


class Answers:
    """A scorer that gives one value, or raises."""

    def __init__(self, value):
        self.value = value

    def score_bound(self):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def model(version, value):
    identity = Identity(name="toy", version=version, digest="sha256:" + version * 64)
    return Model(identity, CONTRACT, Answers(value))


def roles(champion=0.3, challenger=0.7, mode="split", split=1.0):
    return Roles(
        experiment="experiment",
        revision=4,
        effective_from=0,
        mode=mode,
        split=split,
        salt="salt",
        champion=model("1", champion),
        challenger=None if challenger is None else model("2", challenger),
    )


def run(roles, **request):
    asked = ScoreRequest(features=dict(FEATURES), **{"customer_id": "somebody", **request})
    return score(asked, roles, Row(Encoder(CONTRACT)), at=NOW_MICROS, prediction_id="id")


def test_in_the_shadow_the_challenger_is_scored_and_the_champion_answers():
    scored = run(roles(mode="shadow", split=0.0))
    assert (scored.answer.variant, scored.answer.probability) == ("champion", 0.3)
    assert (scored.prediction.champion_probability, scored.prediction.challenger_probability) == (0.3, 0.7)


def test_a_customer_of_the_split_gets_the_challengers_answer_label_and_risk():
    answer = run(roles()).answer
    assert (answer.variant, answer.probability, answer.label, answer.risk) == ("challenger", 0.7, "Yes", "high")
    assert answer.model.version == "2"


def test_the_split_follows_the_hash():
    for number in range(200):
        answer = run(roles(split=0.4), customer_id=f"c{number}").answer
        assert answer.variant == assign_variant("salt", f"c{number}", 0.4)


def test_a_whole_number_names_the_same_customer_as_its_text():
    assert run(roles(split=0.5), customer_id=7).prediction.customer_id == "7"


def test_without_a_customer_the_champion_answers():
    scored = run(roles(), customer_id=None)
    assert (scored.answer.variant, scored.prediction.customer_id) == ("champion", None)


@pytest.mark.parametrize("value", [RuntimeError("boom"), math.nan, math.inf, -0.1, 1.1])
def test_a_challenger_that_fails_leaves_the_answer_to_the_champion(value):
    scored = run(roles(challenger=value))
    assert (scored.answer.variant, scored.answer.probability, scored.failed) == ("champion", 0.3, True)
    assert scored.prediction.variant == "champion"
    assert scored.prediction.challenger_probability is None
    assert scored.prediction.challenger_positive is None


@pytest.mark.parametrize("value", [RuntimeError("boom"), math.nan, 1.1])
def test_a_champion_that_fails_is_an_error_of_ours(value):
    with pytest.raises(Unavailable, match="champion toy:1"):
        run(roles(champion=value))


@pytest.mark.parametrize(("value", "expected"), [(1.0000002, 1.0), (-2e-7, 0.0)])
def test_rounding_beyond_the_interval_is_no_failure(value, expected):
    assert run(roles(champion=value, challenger=None)).answer.probability == expected


def test_in_mode_off_nobody_is_enrolled():
    scored = run(roles(challenger=None, mode="off", split=0.0))
    assert (scored.prediction.challenger, scored.prediction.mode, scored.failed) == (None, "off", False)


def test_each_model_is_read_by_its_own_cut():
    lenient = replace(model("2", 0.4), contract=_with_cut(0.35))
    scored = run(replace(roles(), challenger=lenient))
    assert (scored.answer.label, scored.prediction.challenger_positive) == ("Yes", True)
    assert scored.prediction.champion_positive is False


def test_the_record_says_when_who_why_and_what():
    record = run(roles(), purpose="what_if").prediction
    assert (record.at, record.prediction_id, record.purpose) == (NOW_MICROS, "id", "what_if")
    assert (record.experiment, record.revision, record.mode, record.split) == ("experiment", 4, "split", 1.0)
    assert record.features == FEATURES


def test_features_that_the_contract_does_not_allow_are_named():
    with pytest.raises(InvalidFeatures, match="tenure"):
        score(
            ScoreRequest(features={**FEATURES, "tenure": 400}),
            roles(),
            Row(Encoder(CONTRACT)),
            at=NOW_MICROS,
            prediction_id="id",
        )


def _with_cut(cut):
    import msgspec

    return msgspec.structs.replace(CONTRACT, cut=cut)
