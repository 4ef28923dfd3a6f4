"""The languages in which e-mails can be written: how they begin and end, and by which words each is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.routes.drafting import Tone


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes:
        name: In English.
        greetings: By tone; nobody is named, as nobody here knows who the customer is.
        closings: By tone.
        words: Common words that no other language here has.
    """

    name: str
    greetings: Mapping[Tone, str]
    closings: Mapping[Tone, str]
    words: frozenset[str]


LANGUAGES: Mapping[str, Language] = {
    "en": Language(
        name="English",
        greetings={"friendly": "Hello,", "formal": "Dear customer,"},
        closings={
            "friendly": "Best wishes\nYour customer service",
            "formal": "Yours faithfully\nYour customer service",
        },
        words=frozenset(
            [
                "the",
                "and",
                "you",
                "your",
                "our",
                "with",
                "for",
                "this",
                "that",
                "would",
                "have",
                "are",
                "is",
                "it",
                "if",
                "from",
                "be",
                "can",
                "of",
                "to",
                "we",
                "will",
                "not",
                "about",
                "what",
            ]
        ),
    ),
    "es": Language(
        name="Spanish",
        greetings={"friendly": "Hola:", "formal": "Estimada clienta, estimado cliente:"},
        closings={
            "friendly": "Un cordial saludo\nSu servicio de atención al cliente",
            "formal": "Atentamente\nSu servicio de atención al cliente",
        },
        words=frozenset(
            [
                "el",
                "los",
                "las",
                "una",
                "su",
                "sus",
                "con",
                "para",
                "por",
                "usted",
                "nos",
                "nuestro",
                "nuestra",
                "podemos",
                "si",
                "como",
                "este",
                "esta",
                "y",
                "lo",
                "del",
                "al",
                "más",
            ]
        ),
    ),
    "de": Language(
        name="German, with the polite Sie",
        greetings={"friendly": "Guten Tag,", "formal": "Sehr geehrte Kundin, sehr geehrter Kunde,"},
        closings={
            "friendly": "Herzliche Grüße\nIhr Kundendienst",
            "formal": "Mit freundlichen Grüßen\nIhr Kundendienst",
        },
        words=frozenset(
            [
                "der",
                "die",
                "das",
                "und",
                "sie",
                "ihr",
                "ihre",
                "ihnen",
                "ihren",
                "ihrem",
                "wir",
                "uns",
                "ein",
                "eine",
                "einen",
                "mit",
                "für",
                "ist",
                "nicht",
                "zu",
                "auf",
                "wenn",
                "oder",
                "sich",
            ]
        ),
    ),
    "fr": Language(
        name="French, with the polite vous",
        greetings={"friendly": "Bonjour,", "formal": "Chère cliente, cher client,"},
        closings={
            "friendly": "Bien à vous\nVotre service client",
            "formal": "Veuillez agréer nos salutations distinguées\nVotre service client",
        },
        words=frozenset(
            [
                "le",
                "les",
                "des",
                "et",
                "vous",
                "votre",
                "vos",
                "nous",
                "notre",
                "avec",
                "pour",
                "dans",
                "est",
                "pas",
                "une",
                "du",
                "ou",
                "sur",
                "ce",
                "cette",
                "au",
                "aux",
                "qui",
                "que",
            ]
        ),
    ),
}
