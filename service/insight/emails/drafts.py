"""A draft, and what one that comes from outside must be before anybody sees it.

No rule here can know whether a sentence is wise or true: a person reads each draft before it is sent. The rules refuse
words and signs by which a hostile or confused answer can be known, which are not all ways to say something; and every
refusal costs no more than the template in its place.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import msgspec

from service.insight.emails.facts import Brief
from service.insight.emails.languages import LANGUAGES

SUBJECT_LENGTH = 120
BODY_LENGTHS = (80, 1500)
_SHORT = 80
"""A greeting or a closing is not longer, in characters."""
_DIGITS = frozenset("0123456789")
_LEAST_KNOWN = 0.1
"""Of a text in one language at least so many words are among its most common ones; here half of them are."""

_DOMAIN = re.compile(r"\b[\w-]+\.(?:[a-z]{2,})\b", re.IGNORECASE)
_SPELLED = re.compile(r"\b(?:dot|punkt|punto|point)\s+(?:com|net|org|info|io)\b", re.IGNORECASE)
"""An address as it is told on the telephone."""
_NUMBER = re.compile(
    r"\d+|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|seventy|eighty"
    r"|ninety|hundred|thousand|half|twice|percent|zwei|drei|vier|funf|sechs|sieben|acht|neun|zehn|elf|zwolf|zwanzig"
    r"|dreissig|vierzig|funfzig|sechzig|siebzig|achtzig|neunzig|hundert|tausend|halbe?|halfte|doppelt|prozent|dos|tres"
    r"|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|veinte|treinta|cuarenta|cincuenta|sesenta|setenta|ochenta"
    r"|noventa|cien|ciento|mil|mitad|doble|deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|vingt|trente|quarante"
    r"|cinquante|soixante|cent|mille|moitie|double|pour cent|por ciento)\b",
    re.IGNORECASE,
)
"""Digits and, in every language and without accents, words for a number; one is an article."""
_WORD = re.compile(r"[^\W\d_]+")
_SIGNS = frozenset(" \n.,;:!?'\"()-&/%$\u20ac\u00a3\u00a1\u00bf\u2026\u2010\u2013\u2014") | frozenset(
    "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
)
"""What a letter is written with beside letters and digits. Other signs are for looking like these."""
_PLACEHOLDER = re.compile(r"[\[\]{}<>|`\\*_#~^]|&#?\w+;")
_TITLED = re.compile(
    r"\b(?:Mrs?|Ms|Miss|Dr|Herrn?|Frau|Señora?|Sra?|Don|Doña|Mme|Madame|Monsieur|Mlle)\b\.?\s+[^\W\d_a-z]"
)
_NAMED = re.compile(r"(?<![.!?:]\s)(?<!^)\b([^\W\d_a-zà-ÿ][a-zà-ÿ]+) ([^\W\d_a-zà-ÿ][a-zà-ÿ]+)\b", re.MULTILINE)
_POLITE = frozenset(["Sie", "Ihr", "Ihre", "Ihren", "Ihrem", "Ihrer", "Ihres", "Ihnen", "Usted", "Ustedes"])
_FORBIDDEN = re.compile(
    r"\b(?:risk|churn|probab|predict|algorithm|score|likely to leave|leave us|risiko|riski|abwander|kundig|wahrschein"
    r"|vorhers|riesgo|pronost|risque|predi|resili|discount|refund|gift|free of charge|for free|nothing at all|voucher"
    r"|coupon|bonus|cash|credit|rabatt|gutsch|geschenk|kostenlos|gratis|umsonst|bargeld|descuento|reembolso|regalo|cupon"
    r"|bono|efectivo|credito|remise|rembours|cadeau|gratuit|bon d'achat|especes|guarantee|garant|deadline|cancel"
    r"|storn|annul|passwor|passcode|pin code|contrasena|mot de passe|your card|ihre karte|su tarjeta"
    r"|votre carte|idiot|stupid)\w*",
    re.IGNORECASE,
)
"""Without accents, as texts are searched without them."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An e-mail that nobody has sent.

    Attributes:
        subject: One line.
        text: Plain text, with greeting and closing.
    """

    subject: str
    text: str


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subject: str
    body: str


def read_draft(content: str, brief: Brief) -> Draft | str:
    """The draft that an answer holds, or why it is none, in words that quote nothing of it.

    Args:
        content: What was answered.
        brief: What was asked.
    """
    try:
        written = msgspec.json.decode(content, type=_Written)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return "it is no JSON object of subject and body"
    subject, body = written.subject.strip(), _undressed(written.body.strip().replace("\r\n", "\n"))
    problem = next(_problems(subject, body, brief), None)
    if problem is not None:
        return problem
    return dressed(subject, body, brief)


def _undressed(body: str) -> str:
    """A body without a greeting and a closing of its own, which small models write although they are told not to."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", body)]
    if len(parts) > 1 and len(parts[0]) <= _SHORT and parts[0].endswith((",", ":", "!")):
        del parts[0]
    while len(parts) > 1 and len(parts[-1]) <= _SHORT and not parts[-1].endswith((".", "!", "?")):
        del parts[-1]
    return "\n\n".join(parts)


def dressed(subject: str, body: str, brief: Brief) -> Draft:
    """A draft with the greeting and the closing of its language and tone."""
    language = LANGUAGES[brief.language]
    text = f"{language.greetings[brief.tone]}\n\n{body}\n\n{language.closings[brief.tone]}\n"
    return Draft(subject=subject, text=text)


def _problems(subject: str, body: str, brief: Brief) -> Iterator[str]:
    least, most = BODY_LENGTHS
    if not 0 < len(subject) <= SUBJECT_LENGTH or not subject.isprintable():
        yield f"its subject is not one line of 1 to {SUBJECT_LENGTH} characters"
    if not least <= len(body) <= most:
        yield f"its body is not {least} to {most} characters long"
    if not body.replace("\n", "").isprintable():
        yield "its body holds characters that are not printed"
    text = f"{subject}\n{body}"
    if not all(unicodedata.name(one, "").startswith("LATIN ") for one in text if one.isalpha()):
        yield "it is not written in Latin letters"
    if _PLACEHOLDER.search(text):
        yield "it holds markup or placeholders"
    if "@" in text or "://" in text or _DOMAIN.search(text) or _SPELLED.search(text):
        yield "it holds a link or an address"
    if not all(one.isalpha() or one in _DIGITS or one in _SIGNS for one in text):
        yield "it holds signs that no letter to a customer needs"
    yield from _contents(text, brief)
    if not _is_in(brief.language, body):
        yield f"it is not written in {LANGUAGES[brief.language].name.partition(',')[0]}"


def _contents(text: str, brief: Brief) -> Iterator[str]:
    """Numbers, names and promises that nobody gave it."""
    given = " ".join((*brief.offers, *(fact.phrase for fact in brief.facts)))
    if not _found(_NUMBER, text) <= _found(_NUMBER, given):
        yield "it holds a number that it was not given"
    if _TITLED.search(text) or any(
        not _POLITE & {*pair} and " ".join(pair) not in given for pair in _NAMED.findall(text)
    ):
        yield "it holds what may be a name"
    if not _found(_FORBIDDEN, text) <= _found(_FORBIDDEN, given):
        yield "it promises or tells what no customer is to read"


def _found(pattern: re.Pattern[str], text: str) -> set[str]:
    """What is found of a pattern, whatever accents and however large the letters are."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return {found.lower() for found in pattern.findall(plain.replace("\u2019", "'").replace("ß", "ss"))}


def _is_in(code: str, text: str) -> bool:
    """Whether a text is in that language and in no other."""
    words = [word.lower() for word in _WORD.findall(text)]
    known = {other: sum(word in language.words for word in words) for other, language in LANGUAGES.items()}
    mine = known.pop(code)
    return mine >= _LEAST_KNOWN * len(words) and mine > max(known.values())
