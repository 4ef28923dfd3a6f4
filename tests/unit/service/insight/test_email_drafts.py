"""Drafts: what comes from outside is taken only where it holds nothing but what it was given, in its language."""

from __future__ import annotations

import json
import re

import pytest
from groq_toys import GOOD, GOOD_BODY
from serving_toys import CHECKOUT, CONTRACT

from service.insight.emails.drafts import Draft, read_draft
from service.insight.emails.facts import Brief, Fact, choose_facts
from service.insight.emails.languages import LANGUAGES
from service.insight.emails.prompt import write_messages
from service.insight.emails.template import FOLDER, Templates
from service.insight.reasons import Reason
from service.routes.drafting import LANGUAGES as OFFERED
from service.routes.drafting import TONES
from training.use_case import load_use_case

FACTS = (Fact("contract", "a month-to-month contract", ("a contract for one year", "a contract for 24 months")),)
BRIEF = Brief(risk="high", facts=FACTS, tone="friendly", language="en")
GERMAN = (
    "wir freuen uns, dass Sie bei uns sind, und möchten, dass das so bleibt. Wenn es für Sie passt, können wir Ihnen "
    "einen Vertrag über ein Jahr anbieten. Melden Sie sich einfach bei uns."
)
SPANISH = (
    "Nos alegra que esté con nosotros y queremos que siga a gusto. Si le conviene, podemos ofrecerle un contrato de un "
    "año. Responda a este correo y lo vemos con usted."
)
FRENCH = (
    "Nous sommes heureux de vous compter parmi nous et nous souhaitons que cela dure. Si cela vous convient, nous "
    "pouvons vous proposer un contrat pour une année. Répondez simplement à ce message."
)


def brief(language="en", tone="friendly", facts=FACTS):
    return Brief(risk="high", facts=facts, tone=tone, language=language)


def read(subject="Something that may suit you", body=GOOD_BODY, language="en"):
    return read_draft(json.dumps({"subject": subject, "body": body}), brief(language))


@pytest.mark.parametrize(("language", "body"), [("en", GOOD_BODY), ("de", GERMAN), ("es", SPANISH), ("fr", FRENCH)])
def test_a_plain_draft_is_taken_in_its_language_and_in_no_other(language, body):
    found = read(subject="A", body=body, language=language)
    assert isinstance(found, Draft), found
    assert body in found.text
    assert found.text.startswith(LANGUAGES[language].greetings["friendly"])
    assert found.text.endswith(LANGUAGES[language].closings["friendly"] + "\n")
    for other in set(LANGUAGES) - {language}:
        assert "not written in" in read(subject="A", body=body, language=other)


@pytest.mark.parametrize("greeting", ["Hello,", "Dear customer:", "Hi!", "Hello Jane Doe,"])
@pytest.mark.parametrize("closing", ["Kind regards", "Best wishes,\nThe Team", "Sincerely,\n\nYour Company", ""])
def test_a_greeting_and_a_closing_that_nobody_asked_for_are_dropped(greeting, closing):
    found = read(body=f"{greeting}\n\n{GOOD_BODY}\n\n{closing}")
    assert found == read()


@pytest.mark.parametrize("body", ["Hello,", "Hello,\n\nKind regards", "Kind regards\n\nHello,\n\nBest wishes"])
def test_a_greeting_alone_is_no_draft(body):
    assert "characters long" in read(body=body)


def test_a_number_that_was_given_may_be_told():
    assert isinstance(read(body=GOOD_BODY + " It would be for 24 months."), Draft)


REFUSED = {
    "no JSON": ("Dear customer, " + GOOD_BODY, "no JSON object"),
    "another key": (json.dumps({**GOOD, "to": "x"}), "no JSON object"),
    "a key is missing": (json.dumps({"subject": "x"}), "no JSON object"),
    "a list": ("[]", "no JSON object"),
    "deeply nested": ("[" * 100_000, "no JSON object"),
    "empty": (json.dumps({"subject": "", "body": ""}), "subject"),
    "empty body": (json.dumps({"subject": "x", "body": "  "}), "characters long"),
    "too long": (json.dumps({"subject": "x", "body": GOOD_BODY * 20}), "characters long"),
    "a subject of two lines": (json.dumps({"subject": "x\nBcc: y", "body": GOOD_BODY}), "subject"),
}


@pytest.mark.parametrize(("content", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_draft_is_refused(content, told):
    found = read_draft(content, BRIEF)
    assert isinstance(found, str)
    assert told in found


ADDED = {
    "HTML": (" <b>Really.</b>", "markup"),
    "an entity": (" &lt;script", "markup"),
    "markdown": (" **Really.**", "markup"),
    "a markdown link": (" [here](x)", "markup"),
    "a placeholder": (" Best, [Your Name]", "markup"),
    "a template's variable": (" {{ name }}", "markup"),
    "a link": (" See https://example.com/offer", "link or an address"),
    "a bare domain": (" See example.com for more.", "link or an address"),
    "an address": (" Write to me@example", "link or an address"),
    "a telephone number": (" Call 0800 123456.", "number"),
    "a price": (" It costs 10 USD.", "number"),
    "a percentage": (" That is 20 percent less.", "number"),
    "a title and a name": (" Ask for Mrs Smith.", "name"),
    "a name": (" We told your neighbour Jane Doe.", "name"),
    "a discount": (" There is a discount for you.", "promises"),
    "something for free": (" The first month is free of charge.", "promises"),
    "the risk": (" Your risk is high.", "promises or tells"),
    "the prediction": (" Our algorithm predicted that you leave.", "promises or tells"),
    "half of it": (" We take half off your bill.", "number"),
    "a number in words": (" That is fifty percent less.", "number"),
    "a telephone number in words": (" Call us at five five one.", "number"),
    "raised digits": (" Call \u2075\u2075\u2075.", "signs"),
    "circled digits": (" Call \u2460\u2461.", "signs"),
    "an address as it is told": (" Go to evil dot com.", "link or an address"),
    "a dot that looks like one": (" Go to evil\u2024com.", "signs"),
    "a dot of another script": (" Go to evil\u3002com.", "signs"),
    "money": (" There is cash and a voucher for you.", "promises"),
    "an accent to hide by": (" You get a ref\u00fbnd, and a d\u00ecscount.", "promises"),
    "a demand": (" Reply with your password.", "promises"),
    "a threat": (" Otherwise your contract is cancelled.", "promises"),
    "the prediction in other words": (
        " Our computer thinks that you are likely to leave us soon.",
        "promises or tells",
    ),
    "an insult": (" You are an idiot.", "promises or tells"),
    "another script": (" Привет.", "Latin letters"),
    "a letter that looks like another": (" \u0430nd so on.", "Latin letters"),
    "control characters": (" \u202e.", "not printed"),
}


@pytest.mark.parametrize(("text", "told"), ADDED.values(), ids=ADDED)
def test_a_draft_with_more_than_it_was_given_is_refused_and_not_quoted(text, told):
    found = read(body=GOOD_BODY + text)
    assert isinstance(found, str)
    assert told in found
    assert text.strip() not in found


def test_a_draft_in_no_known_language_is_refused():
    dutch = "Wij zijn blij dat u bij ons bent en willen graag dat dat zo blijft. Laat het ons weten als iets beter kan."
    assert "not written in English" in read(body=dutch)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("facts", [FACTS, ()], ids=["offers", "nothing to offer"])
def test_the_template_s_draft_is_in_its_language_and_holds_every_offer(language, tone, facts):
    use_case = load_use_case(CHECKOUT / "training" / "use_cases" / "telco_churn.yaml")
    words = [one.words[language] for feature in use_case.contract.actionable for one in offers_of(feature)][:3]
    given = [Fact("x", "y", (word,)) for word in words] if facts else []
    asked = brief(language, tone, tuple(given))
    found = Templates().write(asked)
    assert [line[2:] for line in found.text.splitlines() if line.startswith("- ")] == (words if facts else [])
    middle = found.text.partition("\n\n")[2].rpartition("\n\n")[0]
    assert isinstance(read_draft(json.dumps({"subject": found.subject, "body": middle}), asked), Draft)
    assert "\n\n\n" not in found.text
    assert "{" not in found.text


def offers_of(feature):
    return feature.actionable if isinstance(feature.actionable, tuple) else (feature.actionable,)


def test_every_language_has_a_template_and_every_template_a_language():
    assert {path.stem for path in FOLDER.iterdir()} == set(LANGUAGES) == set(OFFERED)


def test_no_two_languages_share_a_common_word_that_decides():
    for text, code in ((GOOD_BODY, "en"), (GERMAN, "de"), (SPANISH, "es"), (FRENCH, "fr")):
        words = [word.lower() for word in re.findall(r"[^\W\d_]+", text)]
        known = {other: sum(word in one.words for word in words) for other, one in LANGUAGES.items()}
        assert max(known, key=known.get) == code


def reason(feature, value, contribution, phrase="p"):
    return Reason(
        feature=feature,
        value=value,
        contribution=contribution,
        is_read=True,
        is_protected=False,
        is_actionable=True,
        phrase=phrase,
        sentence="s",
    )


def test_facts_are_what_raises_the_risk_and_can_be_changed_the_largest_first():
    reasons = [
        reason("tenure", 3.0, 0.5),
        reason("contract", "Month-to-month", 0.3, "a month-to-month contract"),
        reason("senior", "1", 0.2),
        reason("charges", 70.5, 0.1, "70.5 USD a month"),
    ]
    assert choose_facts(CONTRACT, reasons, "probability", "de") == (
        Fact("contract", "a month-to-month contract", ("ein Vertrag über ein Jahr", "ein Vertrag über zwei Jahre")),
        Fact("charges", "70.5 USD a month", ("ein niedrigerer Preis",)),
    )


@pytest.mark.parametrize(
    "one",
    [
        reason("contract", "Month-to-month", -0.3),
        reason("contract", "Month-to-month", 0.0),
        reason("contract", "Month-to-month", 0.0009),
        reason("contract", "Two year", 0.3),
        reason("charges", None, 0.3),
        reason("charges", 70.5, -0.1),
        reason("tenure", 3.0, 0.3),
    ],
)
def test_what_lowers_the_risk_or_has_nothing_to_offer_is_no_fact(one):
    assert choose_facts(CONTRACT, [one], "probability", "en") == ()


def test_the_request_holds_words_of_the_contract_and_instructions_that_are_always_the_same():
    system, user = write_messages(BRIEF)
    assert json.loads(user["content"]) == {
        "risk": "high",
        "facts": [{"now": FACTS[0].phrase, "offers": list(FACTS[0].offers)}],
    }
    other = write_messages(brief(facts=()))
    assert system == other[0]
    assert (system["role"], user["role"]) == ("system", "user")
