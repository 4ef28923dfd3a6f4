"""What the page Customer says of an answer."""

from pathlib import Path

from production_toys import toy_contract
from scoring_fakes import FakeScoring, client_of

from service.console.customer.asking import Start, score
from service.console.customer.figures import scale
from service.console.customer.showing import say_force, show_answer, show_stale

ROW = {"fee": 30.0, "plan": "month", "age": 50}


def test_an_answer_says_why_the_other_models_is_missing(tmp_path: Path) -> None:
    answer = score(client_of(FakeScoring(), tmp_path), ROW)
    known = Start(features=dict(ROW), probability=0.7, both={"champion": 0.7, "challenger": 0.6})
    unknown = Start(features=dict(ROW), probability=0.7, why_not_both="No insight is named.")
    assert "other model" not in str(show_answer(answer, toy_contract(), known, []))
    assert "other model's answer is not known. No insight is named." in str(
        show_answer(answer, toy_contract(), unknown, [])
    )


def test_a_force_that_rounds_to_nothing_has_no_sign() -> None:
    forces = [0.118, -0.118, 0.0004, -0.0004]
    assert [say_force(force, is_share=True) for force in forces] == [
        "+11.8 points",
        "-11.8 points",
        "0.0 points",
        "0.0 points",
    ]
    assert [say_force(force, is_share=False) for force in (0.5, -0.5, -0.001)] == ["+0.50", "-0.50", "0.00"]


def test_what_was_explained_before_a_change_is_said_to_be_old() -> None:
    assert "of the customer before age, plan changed." in str(show_stale(["age", "plan"]))
    assert "before the form became what cannot be scored." in str(show_stale([]))


def test_numbers_of_marks_that_are_near_stand_on_either_side() -> None:
    def sides(**probabilities: float) -> list[str]:
        return [trace["textposition"] for trace in scale(probabilities, toy_contract()).traces]

    assert sides(now=0.51) == ["top center"]
    assert sides(now=0.514, before=0.512) == ["top right", "top left"]
    assert sides(now=0.2, before=0.6) == ["top center", "top center"]
    assert sides(now=0.5, before=0.5) == ["top center", "top center"]
