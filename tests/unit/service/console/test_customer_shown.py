"""What the page Customer says of an answer."""

from pathlib import Path

from production_toys import toy_contract
from scoring_fakes import FakeScoring, client_of

from service.console.customer.asking import Start, score
from service.console.customer.showing import say_force, show_answer

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
