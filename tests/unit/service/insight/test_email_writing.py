"""Who writes: Groq's own client against a server that speaks its API, and the template for every fault of it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading

import pytest
from groq_toys import GOOD, GOOD_BODY, KEY, Groq, breaks_off, drips, hangs, is_endless, replies, says

from service.insight.emails.facts import Brief, Fact
from service.insight.emails.groq_client import ANSWER_LIMIT_BYTES, GroqClient
from service.insight.emails.writing import DAY_MICROS, DailyBudget, Writer
from service.insight.metrics import InsightCounts
from service.scoring.circuit import FAILURES, PAUSE_SECONDS

BRIEF = Brief(
    risk="high",
    facts=(Fact("contract", "a month-to-month contract", ("a contract for one year",)),),
    tone="friendly",
    language="en",
)


class Desk:
    """A writer with a clock that a test moves, and what it counted."""

    def __init__(self, url, *, key=KEY, most=100, seconds=5.0):
        self.now, self.day, self.counts = 1000.0, 20_000 * DAY_MICROS, InsightCounts()
        self.key = key
        self.client = GroqClient(url, "toy-model", timeout_seconds=seconds)
        self.writer = Writer(
            self.client.complete,
            lambda: self.key,
            budget=DailyBudget(most),
            clock=lambda: self.day,
            count=self.counts.count_draft,
            monotonic=lambda: self.now,
        )

    async def write(self):
        return await self.writer.write(BRIEF)


def draft(groq, times=1, **options):
    """The last of several drafts that one desk writes."""

    async def talk():
        desk = Desk(groq.url, **options)
        for _ in range(times):
            found = await desk.write()
        await desk.client.close()
        return found, desk

    return asyncio.run(talk())


def test_groq_writes_between_our_greeting_and_our_closing():
    with Groq() as groq:
        found, desk = draft(groq)
    assert (found.source, found.reason) == ("groq", "answered")
    assert found.draft.subject == GOOD["subject"]
    assert found.draft.text == f"Hello,\n\n{GOOD_BODY}\n\nBest wishes\nYour customer service\n"
    assert desk.counts.drafts == {("groq", "answered"): 1}
    assert sum(desk.counts.groq.counts) == 1


def test_the_request_is_groq_s_and_holds_the_model_the_key_and_the_brief_alone():
    with Groq() as groq:
        draft(groq)
    (heard,) = groq.heard
    assert heard.path == "/openai/v1/chat/completions"
    assert heard.headers["authorization"] == f"Bearer {KEY}"
    assert set(heard.json) == {"model", "messages", "temperature", "max_completion_tokens", "response_format"}
    assert heard.json["model"] == "toy-model"
    assert heard.json["response_format"] == {"type": "json_object"}
    assert json.loads(heard.json["messages"][1]["content"]) == {
        "risk": "high",
        "facts": [{"now": "a month-to-month contract", "offers": ["a contract for one year"]}],
    }


def test_without_a_key_nobody_is_asked_and_a_new_key_needs_no_restart():
    with Groq() as groq:

        async def talk():
            desk = Desk(groq.url, key=None)
            without = await desk.write()
            desk.key = KEY
            found = await desk.write()
            await desk.client.close()
            return without, found

        without, found = asyncio.run(talk())
    assert (without.source, without.reason) == ("template", "no_key")
    assert "GAUNTLET_GROQ_API_KEY" in without.detail
    assert "- a contract for one year" in without.draft.text
    assert found.source == "groq"
    assert len(groq.heard) == 1


FAULTS = {
    "hangs": (hangs, "timeout"),
    "drips": (drips, "timeout"),
    "an error of its own": (replies(500, b'{"error": {"message": "x"}}'), "server_error"),
    "a gateway's page": (replies(502, b"<html>", content_type="text/html"), "server_error"),
    "a key that it does not know": (replies(401, b'{"error": {"message": "Invalid API Key"}}'), "rejected"),
    "a model that it does not have": (replies(404, b'{"error": {"message": "x"}}'), "rejected"),
    "leads elsewhere": (replies(307, b"", location="http://127.0.0.1:9/"), "rejected"),
    "no JSON": (replies(200, b"<html>"), "broken_answer"),
    "another type": (replies(200, b"<html>", content_type="text/html"), "broken_answer"),
    "no choices": (replies(200, b'{"choices": []}'), "broken_answer"),
    "no content": (replies(200, b'{"choices": [{"message": {}, "finish_reason": "stop"}]}'), "broken_answer"),
    "a bare list": (replies(200, b"[]"), "broken_answer"),
    "is cut off": (says(GOOD, finish="length"), "broken_answer"),
    "is packed": (replies(200, b"{}", content_encoding="gzip"), "broken_answer"),
    "is endless": (is_endless, "broken_answer"),
    "is huge": (replies(200, b'"' + b"x" * ANSWER_LIMIT_BYTES + b'"'), "broken_answer"),
    "breaks off": (breaks_off, "unreachable"),
    "a link": (says({**GOOD, "body": GOOD_BODY + " https://example.com"}), "draft_refused"),
    "HTML": (says({**GOOD, "body": f"<p>{GOOD_BODY}</p>"}), "draft_refused"),
    "empty": (says(""), "draft_refused"),
    "another's number": (says({**GOOD, "body": GOOD_BODY + " Your number is 7590."}), "draft_refused"),
}


@pytest.mark.parametrize(("answer", "reason"), FAULTS.values(), ids=FAULTS)
def test_for_every_fault_the_template_stands_in_and_the_answer_says_which(answer, reason):
    # Only a fault of time has little of it: a busy machine may not make one of another.
    with Groq(answer) as groq:
        found, desk = draft(groq, seconds=0.5 if reason == "timeout" else 30.0)
    assert (found.source, found.reason) == ("template", reason)
    assert found.detail
    assert "- a contract for one year" in found.draft.text
    assert len(groq.heard) == 1
    assert desk.counts.drafts == {("template", reason): 1}


def test_a_groq_that_does_not_listen_is_unreachable():
    with Groq() as groq:
        pass
    found, _ = draft(groq)
    assert (found.source, found.reason) == ("template", "unreachable")


def paused(answer, *moves):
    """What is written first, and after each of these seconds."""
    with Groq(answer) as groq:

        async def talk():
            desk = Desk(groq.url)
            found = [await desk.write()]
            groq.answer = says(GOOD)
            for seconds in moves:
                desk.now += seconds
                found.append(await desk.write())
            await desk.client.close()
            return [one.reason for one in found], len(groq.heard)

        return asyncio.run(talk())


DATED = {"retry_after": "Thu, 01 Jan 2026 00:01:00 GMT", "date": "Thu, 01 Jan 2026 00:00:18 GMT"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry_after": "42"}, 42), (DATED, 42), ({}, 30), ({"retry_after": "soon"}, 30), ({"retry_after": "1e9"}, 3600)],
    ids=["seconds", "a date", "nothing", "no time at all", "for ever"],
)
def test_groq_is_left_alone_for_as_long_as_it_asks(headers, seconds):
    reasons, heard = paused(replies(429, b"{}", **headers), seconds - 1, 2)
    assert reasons == ["rate_limited", "asked_to_wait", "answered"]
    assert heard == 2


def test_another_call_that_fails_later_shortens_no_pause():
    paused = threading.Event()

    def answer(to):
        if len(groq.heard) == 1:
            replies(429, b"{}", retry_after="42")(to)
            paused.set()
        else:
            paused.wait()
            replies(500, b"{}")(to)

    with Groq(answer) as groq:

        async def talk():
            desk = Desk(groq.url)
            together = await asyncio.gather(desk.write(), desk.write())
            later = await desk.write()
            await desk.client.close()
            return {one.reason for one in together}, later.reason

        assert asyncio.run(talk()) == ({"rate_limited", "server_error"}, "asked_to_wait")


def test_a_server_error_that_names_a_time_is_heeded_too():
    reasons, heard = paused(replies(503, b"{}", retry_after="10"), 9, 2)
    assert (reasons, heard) == (["server_error", "asked_to_wait", "answered"], 2)


def test_after_several_failures_the_circuit_opens_and_one_call_tries_after_the_pause():
    with Groq(replies(500, b"{}")) as groq:

        async def talk():
            desk = Desk(groq.url)
            reasons = [(await desk.write()).reason for _ in range(FAILURES + 2)]
            desk.now += PAUSE_SECONDS
            groq.answer = says(GOOD)
            reasons.append((await desk.write()).reason)
            await desk.client.close()
            return reasons, desk.writer.circuit.is_open

        reasons, is_open = asyncio.run(talk())
    assert reasons == ["server_error"] * FAILURES + ["circuit_open"] * 2 + ["answered"]
    assert not is_open
    assert len(groq.heard) == FAILURES + 1


def test_being_asked_to_wait_is_no_failure_of_groq():
    with Groq(replies(429, b"{}", retry_after="0")) as groq:

        async def talk():
            desk = Desk(groq.url)
            for _ in range(FAILURES + 1):
                found = await desk.write()
                desk.now += 2
            await desk.client.close()
            return found.reason

        assert asyncio.run(talk()) == "rate_limited"


def test_the_calls_of_a_day_are_bounded_and_the_next_day_has_its_own():
    with Groq() as groq:

        async def talk():
            desk = Desk(groq.url, most=2)
            reasons = [(await desk.write()).reason for _ in range(3)]
            left = desk.writer.budget.left(desk.day)
            desk.day += DAY_MICROS
            reasons.append((await desk.write()).reason)
            await desk.client.close()
            return reasons, left, desk.writer.budget.left(desk.day)

        reasons, left, later = asyncio.run(talk())
    assert reasons == ["answered", "answered", "budget_spent", "answered"]
    assert (left, later) == (0, 1)
    assert len(groq.heard) == 3


@pytest.mark.parametrize("answer", [says(GOOD), replies(401, KEY.encode()), replies(500, KEY.encode()), hangs])
def test_the_key_is_in_no_log_and_no_answer(answer, caplog):
    caplog.set_level(logging.DEBUG)
    with Groq(answer) as groq:
        found, _ = draft(groq, seconds=0.5)
    assert KEY not in caplog.text
    assert KEY not in repr(found)
    assert not any(KEY in repr(record.__dict__) for record in caplog.records)
