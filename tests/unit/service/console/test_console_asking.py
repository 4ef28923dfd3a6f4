"""What the console asks scoring, and how it takes what it is told."""

from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from scoring_fakes import MODEL, FakeScoring, client_of

from bentos.errors import BadInput, InvalidSetting, NotFound, Refused, Unavailable
from service.console.customer.asking import both_say, explain, read_start, score, score_all, trial_of
from service.console.customer.emails import Known, ask_email, read_known, record_sent

ROW = {"fee": 30.0, "plan": "month", "age": 50}
KNOWN = Known("me", "01a216c2-2125-763d-90bd-c20e4a15f263", ROW)


def test_what_is_tried_out_is_no_evidence(tmp_path: Path) -> None:
    fake = FakeScoring()
    client = client_of(fake, tmp_path)
    assert score(client, ROW).probability == 0.7
    score_all(client, [ROW, ROW])
    assert [body["purpose"] for _, body, _ in fake.asked] == ["what_if", "what_if"]
    assert "customer_id" not in fake.asked[0][1]


def test_a_live_prediction_names_its_customer(tmp_path: Path) -> None:
    fake = FakeScoring()
    score(client_of(fake, tmp_path), ROW, customer_id="me", purpose="live")
    assert (fake.asked[0][1]["customer_id"], fake.asked[0][1]["purpose"]) == ("me", "live")


def test_the_key_is_read_anew_at_every_call_and_shown_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("first\n")
    fake = FakeScoring()
    client = client_of(fake, tmp_path, service_key_file=tmp_path / "key")
    score(client, ROW)
    (tmp_path / "key").write_text("second\n")
    score(client, ROW)
    assert [headers["authorization"] for _, _, headers in fake.asked] == ["Bearer first", "Bearer second"]


def test_a_key_file_that_is_gone_is_named(tmp_path: Path) -> None:
    client = client_of(FakeScoring(), tmp_path, service_key_file=tmp_path / "gone")
    with pytest.raises(InvalidSetting, match="GAUNTLET_CONSOLE_SERVICE_KEY_FILE"):
        score(client, ROW)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (422, BadInput),
        (409, Refused),
        (429, Unavailable),
        (503, Unavailable),
    ],
)
def test_a_refusal_is_passed_on_in_scorings_own_words(tmp_path: Path, status: int, kind: type[Exception]) -> None:
    fake = FakeScoring()
    fake.answers["/v1/score"] = (status, {"detail": "because of this"})
    with pytest.raises(kind, match="because of this"):
        score(client_of(fake, tmp_path), ROW)


@pytest.mark.parametrize("said", ["<html>", "[]", '{"probability": "high"}'])
def test_an_answer_in_another_form_is_no_answer(tmp_path: Path, said: str) -> None:
    fake = FakeScoring()
    fake.answers["/v1/score"] = (200, said)
    with pytest.raises(Unavailable, match="/v1/score"):
        score(client_of(fake, tmp_path), ROW)


def test_nobody_there_is_said_with_the_address(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:3000"):
        explain(client_of(FakeScoring(), tmp_path), ROW)


def test_a_batch_that_was_scored_in_part_is_not_used(tmp_path: Path) -> None:
    fake = FakeScoring()
    fake.answers["/v1/score/batch"] = (200, {"predictions": [], "accepted": 0, "refused": 1})
    with pytest.raises(Unavailable, match="0 of 1 rows"):
        score_all(client_of(fake, tmp_path), [ROW])


def test_nobody_on_trial_is_nobody(tmp_path: Path) -> None:
    fake = FakeScoring()
    fake.answers["/v1/experiment"] = (200, {"mode": "off", "challenger": None, "more": 1})
    assert both_say(client_of(fake, tmp_path), ROW) == {}
    assert [path for path, _, _ in fake.asked] == ["/v1/experiment"]


def test_where_the_other_models_word_cannot_be_had_it_is_not_left_out_silently(tmp_path: Path) -> None:
    fake = FakeScoring()
    fake.answers["/v1/experiment"] = (200, {"mode": "shadow", "challenger": MODEL})
    fake.answers["/v1/explain"] = (503, {"detail": "no insight is named"})
    with pytest.raises(Unavailable, match="no insight is named"):
        both_say(client_of(fake, tmp_path), ROW)


def test_a_withheld_letter_is_a_notice_until_somebody_overrides(tmp_path: Path) -> None:
    fake = FakeScoring()
    notice = {"draft": None, "no_treatment": True, "override_recorded": False, "notice": "leave alone"}
    fake.answers["/v1/retention-email"] = (200, notice)
    client = client_of(fake, tmp_path)
    email = ask_email(client, KNOWN, tone="formal", language="en", override=False)
    assert (email.draft, email.notice) == (None, "leave alone")
    ask_email(client, KNOWN, tone="formal", language="en", override=True)
    assert [body.get("override") for _, body, _ in fake.asked] == [None, True]


def test_sending_is_recorded_as_a_treatment(tmp_path: Path) -> None:
    fake = FakeScoring()
    fake.answers["/v1/treatments"] = (202, {"accepted": 1})
    record_sent(client_of(fake, tmp_path), KNOWN, now=datetime(2026, 1, 1, tzinfo=UTC))
    [treatment] = fake.asked[0][1]["treatments"]
    assert treatment == {
        "prediction_id": KNOWN.prediction_id,
        "action": "retention-email",
        "taken_at": "2026-01-01T00:00:00.000+00:00",
    }


def test_a_treatment_that_was_not_taken_is_not_called_recorded(tmp_path: Path) -> None:
    fake = FakeScoring()
    fake.answers["/v1/treatments"] = (202, {"accepted": 0})
    with pytest.raises(Unavailable):
        record_sent(client_of(fake, tmp_path), KNOWN, now=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("kept", [{"customer_id": 1}, "x", {}])
def test_what_a_browser_kept_is_checked(kept: object) -> None:
    with pytest.raises(BadInput):
        read_known(kept)
    with pytest.raises(BadInput):
        read_start(kept)


def test_a_browser_that_kept_nothing_begins_anew() -> None:
    assert read_start(None) is None


def test_a_glance_at_scoring_waits_no_longer_than_it_is_told(tmp_path: Path) -> None:
    class Frozen(FakeScoring):
        waited: ClassVar[list[float]] = []

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.waited.append(request.extensions["timeout"]["read"])
            raise httpx.ReadTimeout("timed out", request=request)

    service = client_of(Frozen(), tmp_path)
    for seconds in (3.0, None):
        with pytest.raises(Unavailable, match="does not answer: timed out"):
            trial_of(service, seconds=seconds)
    assert Frozen.waited == [3.0, 25.0]
