"""The draft where Groq gives none: a text by hand in each language, with the same offers. It promises nothing else."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.insight.emails.drafts import Draft, dressed
from service.insight.emails.facts import Brief
from service.insight.emails.languages import LANGUAGES

FOLDER = Path(__file__).parent / "templates"


class Templates:
    """The texts of every language, read once."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read them.

        Args:
            folder: With a file a language: the subject, an empty line, and what stands between greeting and closing.
        """
        made = Environment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # noqa: S701  # plain text, of the contract's words
        )
        self._templates = {code: made.get_template(f"{code}.jinja") for code in LANGUAGES}

    def write(self, brief: Brief) -> Draft:
        """A draft of that brief."""
        rendered = self._templates[brief.language].render(tone=brief.tone, offers=brief.offers)
        subject, _, body = rendered.partition("\n\n")
        return dressed(subject.strip(), body.strip(), brief)
