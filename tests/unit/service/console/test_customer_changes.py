"""What could be offered to a customer, and which change is nearest."""

from typing import Any

import pytest
from production_toys import toy_contract, toy_reference

from bentos.errors import InvalidRequest
from service.console.customer.changes import (
    Change,
    Outlook,
    best_of_each,
    changed,
    nearest,
    plans,
    possible_changes,
    say_change,
)
from service.console.customer.form import feature_id, fields, read_fields

CONTRACT = toy_contract()
ROW = {"fee": 80.0, "plan": "month", "age": 50}
FEE = Change("fee", 80.0, 20.0, "a lower fee")
PLAN = Change("plan", "month", "year", "a year's plan")


def outlook(probability: float, *changes: Change) -> Outlook:
    return Outlook(changes, probability, CONTRACT.risk(probability))


def test_only_what_the_contract_names_is_changed_and_only_as_it_allows() -> None:
    found = possible_changes(CONTRACT, toy_reference(), ROW)
    assert {change.feature for change in found} == {"fee", "plan"}
    fees = [change.after for change in found if change.feature == "fee"]
    assert fees == sorted(fees, reverse=True)
    assert max(fees) < 80
    assert min(fees) == 20, "no lower than where training rows begin"
    assert [change.after for change in found if change.feature == "plan"] == ["year"]


def test_who_has_it_already_is_offered_nothing() -> None:
    assert possible_changes(CONTRACT, toy_reference(), {"fee": 20.0, "plan": "year", "age": 50}) == ()


def test_pairs_are_of_two_features() -> None:
    tried = plans(possible_changes(CONTRACT, toy_reference(), ROW))
    assert {len(plan) for plan in tried} == {1, 2}
    assert all(len({change.feature for change in plan}) == len(plan) for plan in tried)


def test_there_is_a_bound_on_what_is_tried() -> None:
    assert len(plans([FEE, PLAN], most=2)) == 2


def test_a_plan_leaves_everything_else_as_it_is() -> None:
    assert changed(ROW, (PLAN,)) == {"fee": 80.0, "plan": "year", "age": 50}


def test_the_fewest_changes_to_a_lower_band_are_nearest() -> None:
    both, one = outlook(0.1, FEE, PLAN), outlook(0.55, PLAN)
    assert nearest([both, one, outlook(0.65, FEE)], CONTRACT, 0.7) == one


def test_of_equally_many_changes_the_smaller_one_is_nearest() -> None:
    little = Change("fee", 80.0, 70.0, "a lower fee")
    assert nearest([outlook(0.2, FEE), outlook(0.5, little)], CONTRACT, 0.7) == outlook(0.5, little)


def test_where_no_band_is_reached_what_lowers_at_all_is_nearest() -> None:
    assert nearest([outlook(0.65, PLAN), outlook(0.69, FEE)], CONTRACT, 0.7) == outlook(0.65, PLAN)


def test_where_nothing_helps_nothing_is_offered() -> None:
    assert nearest([outlook(0.8, PLAN)], CONTRACT, 0.7) is None
    assert best_of_each([outlook(0.8, PLAN)], 0.7) == ()


def test_each_feature_is_shown_at_its_best() -> None:
    best = best_of_each([outlook(0.6, FEE), outlook(0.5, FEE), outlook(0.4, PLAN), outlook(0.1, FEE, PLAN)], 0.7)
    assert [(o.changes[0].feature, o.probability) for o in best] == [("plan", 0.4), ("fee", 0.5)]


def test_a_change_is_said_with_its_unit() -> None:
    assert say_change(CONTRACT.feature("fee"), FEE) == "fee: 80 to 20 EUR"
    assert say_change(CONTRACT.feature("plan"), PLAN) == "plan: month to year"


def test_a_form_has_a_field_for_every_feature() -> None:
    said = str(fields(CONTRACT, ROW))
    for feature in CONTRACT.features:
        assert str(feature_id(feature.name)) in said


def test_fields_are_read_as_scoring_takes_them() -> None:
    ids = [feature_id(name) for name in ("age", "fee", "plan")]
    assert read_fields(CONTRACT, ids, [50.0, 80.0, None]) == {"fee": 80.0, "plan": None, "age": 50}


def test_an_empty_field_that_must_not_be_is_named() -> None:
    with pytest.raises(InvalidRequest, match="fee is missing; it must be a number from 0 to 100 EUR"):
        read_fields(CONTRACT, [feature_id(name) for name in ("age", "fee", "plan")], [50, None, "year"])


@pytest.mark.parametrize("typed", ["abc", "1e400", "nan", "1,5", "−5", "9" * 400, 10**400, float("inf"), [1], {}])
def test_what_is_no_number_is_named_with_what_is_allowed_and_never_read_as_missing(typed: Any) -> None:
    with pytest.raises(
        InvalidRequest, match=r"^the form: fee: .* is not allowed; it must be a number from 0 to 100 EUR"
    ):
        read_fields(CONTRACT, [feature_id(name) for name in ("age", "fee", "plan")], [50, typed, "year"])


def test_a_number_that_is_typed_is_left_as_it_is_for_scoring_to_judge() -> None:
    ids = [feature_id(name) for name in ("age", "fee", "plan")]
    assert read_fields(CONTRACT, ids, ["50.5", " -5 ", "year"]) == {"fee": -5.0, "plan": "year", "age": 50.5}


def test_a_field_for_a_number_keeps_nothing_back_that_was_typed() -> None:
    assert "type='number'" not in str(fields(CONTRACT, ROW))
