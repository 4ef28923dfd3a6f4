"""Scoring: the champion always answers, the challenger never spoils an answer, and the record says what happened."""

import math

import msgspec
import pytest
from scoring_toys import FailsOn, Says, asked, model, roles, run, scoring
from serving_toys import CONTRACT, FEATURES, NOW_MICROS

from bentos.artifact import Encoder
from bentos.errors import InvalidFeatures, Unavailable
from service.scoring.batching import Batch
from service.scoring.circuit import FAILURES, PAUSE_SECONDS, Circuit
from service.scoring.deciding import Scored, Trial
from service.scoring.models import Rows
from service.scoring.routing import assign_variant


def test_in_the_shadow_the_challenger_is_scored_and_the_champion_answers():
    scored = run(roles(mode="shadow", split=0.0))
    assert (scored.answer.variant, scored.answer.probability) == ("champion", 0.3)
    assert (scored.prediction.champion_probability, scored.prediction.challenger_probability) == (0.3, 0.7)
    assert scored.prediction.enrolment == "enrolled"


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


def test_without_a_customer_the_champion_answers_and_it_is_no_evidence():
    scored = run(roles(), customer_id=None)
    assert (scored.answer.variant, scored.prediction.customer_id) == ("champion", None)
    assert scored.prediction.enrolment == "anonymous"


@pytest.mark.parametrize("value", [RuntimeError("boom"), math.nan, math.inf, -0.1, 1.1])
def test_a_challenger_that_fails_leaves_the_answer_to_the_champion(value):
    broken = model("2", value)
    scored = run(roles(challenger=broken))
    assert (scored.answer.variant, scored.answer.probability, scored.failed) == ("champion", 0.3, broken)
    assert scored.prediction.variant == "champion"
    assert scored.prediction.challenger_probability is None
    assert scored.prediction.challenger_positive is None
    assert scored.prediction.enrolment == "enrolled"  # what is missing is counted by the ledger, not hidden from it


@pytest.mark.parametrize("value", [RuntimeError("boom"), math.nan, 1.1])
def test_a_champion_that_fails_is_an_error_of_ours(value):
    with pytest.raises(Unavailable, match="champion toy:1"):
        run(roles(champion=value))


@pytest.mark.parametrize(("value", "expected"), [(1.0000002, 1.0), (-2e-7, 0.0)])
def test_rounding_beyond_the_interval_is_no_failure(value, expected):
    assert run(roles(champion=value, challenger=None)).answer.probability == expected


def test_in_mode_off_nobody_is_enrolled():
    scored = run(roles(challenger=None, mode="off", split=0.0))
    assert (scored.prediction.challenger, scored.prediction.mode, scored.failed) == (None, "off", None)
    assert scored.prediction.enrolment == "off"


def test_each_model_is_read_by_its_own_cut():
    lenient = model("2", 0.4, msgspec.structs.replace(CONTRACT, cut=0.35))
    scored = run(roles(challenger=lenient))
    assert (scored.answer.label, scored.prediction.challenger_positive) == ("Yes", True)
    assert scored.prediction.champion_positive is False


def test_the_record_says_when_who_why_and_what():
    record = run(roles(), purpose="what_if").prediction
    assert (record.at, record.prediction_id, record.purpose) == (NOW_MICROS, "id", "what_if")
    assert (record.experiment, record.revision, record.mode, record.split) == ("experiment-2", 4, "split", 1.0)
    assert record.features == FEATURES
    assert record.latency_us >= 0


def test_features_that_the_contract_does_not_allow_are_named():
    with pytest.raises(InvalidFeatures, match="tenure"):
        Rows(Encoder(CONTRACT)).fill(0, {**FEATURES, "tenure": 400})


def test_many_requests_are_one_call_a_model_and_one_write():
    both = roles()
    found, log, counts = scoring()
    many = [asked(both, customer_id=f"c{i}") for i in range(5)]
    answers = found.score(many)
    assert [one.prediction.customer_id for one in answers] == [f"c{i}" for i in range(5)]
    assert [both.champion.scorer.calls, both.challenger.scorer.calls] == [1, 1]
    assert counts.calls == [("toy:1", 5), ("toy:2", 5)]
    assert log == [one.prediction for one in answers]


def test_the_record_says_what_the_call_of_each_model_took_that_the_row_was_part_of():
    slow = roles(model("1", Says(0.3)), model("2", Says(0.7, seconds=0.02)))
    found, log, _ = scoring()
    rows = [asked(slow, customer_id=f"c{number}") for number in range(3)]
    for place, one in enumerate(rows):
        found.rows.fill(place, one.request.features)
    found.score(rows)
    assert len({(record.champion_us, record.challenger_us) for record in log}) == 1
    assert log[0].challenger_us >= 20_000 > log[0].champion_us >= 0


def test_a_failed_call_has_a_time_too_and_a_model_that_nobody_asked_has_none():
    failed = run(roles(challenger=RuntimeError("boom"))).prediction
    assert (failed.challenger_probability, failed.challenger_us is None) == (None, False)
    alone = run(roles(mode="off", challenger=None)).prediction
    assert (alone.champion_us is None, alone.challenger_us) == (False, None)


def test_requests_under_other_roles_are_asked_of_their_own_models():
    before, after = roles(champion=model("1", 0.1), challenger=None), roles(champion=model("3", 0.9), challenger=None)
    found, _, _ = scoring()
    answers = found.score([asked(before), asked(after), asked(before)])
    assert [one.answer.probability for one in answers] == [0.1, 0.9, 0.1]


def test_a_row_that_the_champion_cannot_score_costs_the_others_nothing():
    champion = FailsOn(0.3, tenure=7)
    found, _, _ = scoring()
    champion.rows = found.rows
    both = roles(champion=model("1", champion), challenger=None)
    for i, tenure in enumerate((3, 7, 5)):
        found.rows.fill(i, {**FEATURES, "tenure": tenure})
    answers = found.score([asked(both) for _ in range(3)])
    assert [type(one) for one in answers] == [Scored, Unavailable, Scored]


def test_without_a_log_a_request_is_refused_only_where_it_is_told_to_be():
    for must_log, kind in ((False, Scored), (True, Unavailable)):
        found, _, _ = scoring(written=False, must_log=must_log)
        assert isinstance(found.score([asked(roles())])[0], kind)


class Loop:
    """Calls later what it is told to call soon."""

    def __init__(self):
        self.later = []

    def call_soon(self, what):
        self.later.append(what)

    def turn(self):
        later, self.later = self.later, []
        for what in later:
            what()


def test_what_arrives_in_one_turn_is_scored_together_in_the_next():
    found, log, _ = scoring(capacity=4)
    loop, told = Loop(), []
    batch = Batch(found, loop.call_soon, lambda _requests, _seconds: None)
    for i in range(6):
        batch.add(asked(roles(), customer_id=f"c{i}"), told.append)
    assert len(told) == 4  # a full matrix does not wait
    loop.turn()
    assert [one.prediction.customer_id for one in told] == [f"c{i}" for i in range(6)]
    loop.turn()
    assert len(log) == 6


def test_a_request_that_cannot_be_encoded_leaves_no_gap():
    found, _, _ = scoring()
    loop, told = Loop(), []
    batch = Batch(found, loop.call_soon, lambda _requests, _seconds: None)
    bad = asked(roles())
    bad.request.features["tenure"] = 400
    with pytest.raises(InvalidFeatures):
        batch.add(bad, told.append)
    batch.add(asked(roles(), customer_id="good"), told.append)
    loop.turn()
    assert [one.prediction.customer_id for one in told] == ["good"]


def test_everybody_is_told_when_scoring_itself_crashes():
    found, _, counts = scoring()
    counts.count_scored = None
    loop, told = Loop(), []
    batch = Batch(found, loop.call_soon, lambda _requests, _seconds: None)
    batch.add(asked(roles()), told.append)
    loop.turn()
    assert len(told) == 1
    assert isinstance(told[0], Exception)


def test_a_challenger_that_keeps_failing_is_left_alone_and_the_champion_goes_on():
    broken = Says(RuntimeError("boom"))
    both = roles(challenger=model("2", broken))
    found, _, _ = scoring()
    answers = [found.score([asked(both)])[0] for _ in range(FAILURES + 3)]
    assert broken.calls == FAILURES
    assert {one.answer.probability for one in answers} == {0.3}


def test_a_challenger_that_is_slow_is_left_alone():
    slow = Says(0.7, seconds=0.002)
    both = roles(challenger=model("2", slow), mode="shadow", split=0.0)
    found, _, _ = scoring(budget_seconds=0.001)
    for _ in range(FAILURES + 3):
        assert found.score([asked(both)])[0].answer.probability == 0.3
    assert slow.calls == FAILURES


def test_a_circuit_lets_one_call_try_after_its_pause():
    now = [0.0]
    circuit = Circuit("toy:2", budget_seconds=1.0, clock=lambda: now[0])
    for _ in range(FAILURES):
        assert circuit.lets_through()
        circuit.note(failed=True, seconds=0.0)
    assert (circuit.is_open, circuit.lets_through(), circuit.opened) == (True, False, 1)
    now[0] += PAUSE_SECONDS
    assert circuit.lets_through()
    circuit.note(failed=True, seconds=0.0)
    assert not circuit.lets_through()
    now[0] += PAUSE_SECONDS
    circuit.note(failed=False, seconds=0.0)
    assert (circuit.is_open, circuit.opened) == (False, 1)


def test_a_single_failure_between_good_calls_opens_nothing():
    circuit = Circuit("toy:2", budget_seconds=1.0, clock=lambda: 0.0)
    for _ in range(3 * FAILURES):
        circuit.note(failed=True, seconds=0.0)
        circuit.note(failed=False, seconds=0.0)
    assert circuit.lets_through()


def several(count, **changes):
    trials = tuple(Trial(f"experiment-{i}", model(str(i), 0.1 * i), 0.5) for i in range(2, 2 + count))
    return roles(trials=trials, **changes)


def test_customers_are_divided_evenly_among_challengers_and_stay():
    three = several(3)
    found = {f"c{i}": run(three, customer_id=f"c{i}").prediction for i in range(1500)}
    counts = {}
    for record in found.values():
        counts[record.experiment] = counts.get(record.experiment, 0) + 1
    assert all(400 < count < 600 for count in counts.values())
    assert len(counts) == 3
    assert all(run(three, customer_id=who).prediction.experiment == found[who].experiment for who in list(found)[:50])
    answered = [record for record in found.values() if record.variant == "challenger"]
    assert 600 < len(answered) < 900
    assert all(record.challenger == f"sha256:{record.experiment[-1] * 64}" for record in found.values())


def test_a_challenger_that_the_bento_lacks_enrols_none_of_its_customers():
    trials = (Trial("experiment-2", model("2", 0.7), 1.0), Trial("experiment-3", None, 1.0))
    found = [run(roles(trials=trials), customer_id=f"c{i}").prediction for i in range(100)]
    assert {(record.experiment, record.enrolment, record.variant) for record in found} == {
        ("experiment-2", "enrolled", "challenger"),
        ("experiment-3", "off", "champion"),
    }


def test_only_a_sample_takes_part():
    found = [run(roles(sample=0.3), customer_id=f"c{i}").prediction for i in range(1000)]
    outside = [record for record in found if record.enrolment == "unsampled"]
    assert 620 < len(outside) < 780
    assert {(record.variant, record.challenger) for record in outside} == {("champion", None)}


def test_the_holdout_never_meets_a_challenger_and_is_the_same_under_another_salt():
    def held_out(salt):
        records = {f"c{i}": run(roles(holdout=0.2, salt=salt), customer_id=f"c{i}").prediction for i in range(500)}
        out = {who for who, record in records.items() if record.enrolment == "holdout"}
        assert {records[who].variant for who in out} == {"champion"}
        return out

    assert held_out("one") == held_out("two")
    assert 60 < len(held_out("one")) < 140


def test_customers_of_the_no_treatment_share_are_told_apart_from_the_split():
    found = [run(roles(no_treatment=0.5, split=0.5), customer_id=f"c{i}") for i in range(1000)]
    cells = {}
    for one in found:
        assert one.answer.no_treatment == one.prediction.no_treatment
        cells[one.answer.variant, one.answer.no_treatment] = (
            cells.get((one.answer.variant, one.answer.no_treatment), 0) + 1
        )
    assert all(190 < count < 310 for count in cells.values())
    assert len(cells) == 4


@pytest.mark.parametrize("variant", ["champion", "challenger"])
def test_a_pinned_customer_gets_the_variant_and_is_no_evidence(variant):
    scored = run(roles(split=0.5, pins={"somebody": variant}))
    assert (scored.answer.variant, scored.prediction.enrolment) == (variant, "pinned")


def test_a_header_pins_only_where_it_may():
    assert run(roles(split=0.0), pin="challenger").answer.variant == "champion"
    scored = run(roles(split=0.0, pin_by_header=True), pin="challenger")
    assert (scored.answer.variant, scored.prediction.enrolment) == ("challenger", "pinned")


def test_a_header_pins_a_request_that_names_nobody_too():
    scored = run(roles(split=0.0, pin_by_header=True), customer_id=None, pin="challenger")
    assert (scored.answer.variant, scored.prediction.enrolment) == ("challenger", "pinned")
    assert run(roles(split=0.0), customer_id=None, pin="challenger").prediction.enrolment == "anonymous"
