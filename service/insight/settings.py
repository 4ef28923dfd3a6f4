"""Settings of the insight process, from environment variables that begin with `GAUNTLET_`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.errors import InvalidSetting
from bentos.folder import Folder
from service.settings import AbsolutePath


class InsightSettings(BaseSettings):
    """What one insight process is told. Every field is `GAUNTLET_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="GAUNTLET_", frozen=True, extra="ignore")

    folder: AbsolutePath | None = None
    """The installation's folder, from which `experiment_file` follows where it is not named. None in containers."""

    bento: AbsolutePath | None = None
    """The Bento's folder. None: the one that this code lies in."""

    experiment_file: AbsolutePath | None = None
    """The experiment file, reread while serving: it says whose word is explained where a request names no model. None
    and no `folder`: the Bento's own champion."""

    insight_workers: int = Field(default=2, ge=1, le=64)
    """How many processes explain: one row each at a time, each with scikit-learn, SHAP and the models in its memory. At
    a time so many work as leave one of the machine's processors to scoring; the others stand by."""

    insight_niceness: int = Field(default=19, ge=0, le=19)
    """By how much workers stand back where processors are scarce, as `nice` counts: on a machine that scores too, an
    explanation waits and a score does not. 0: they count as much as everybody, and nobody gives way."""

    insight_row_seconds: float = Field(default=8.0, gt=0, le=120)
    """How much processor time one row may take; the worker that needs more is killed, and another is started. So is one
    that gets none for as long."""

    insight_answer_seconds: float = Field(default=15.0, gt=0, le=120)
    """How long a request may wait for its explanation, its time in the queue included. Stay below scoring's
    `GAUNTLET_INSIGHT_TIMEOUT_SECONDS`, or clients are told of scoring's patience and not of the reason."""

    insight_queue: int = Field(default=16, ge=0, le=1000)
    """How many requests may wait for a worker; more get 429 and `Retry-After`."""

    insight_cache_rows: int = Field(default=1000, ge=0, le=1_000_000)
    """How many explanations are kept, by artifact digest and row: 14 kB each with twenty features. 0: none."""

    insight_start_seconds: float = Field(default=120.0, gt=0, le=3600)
    """How long a worker may take to import SHAP and to load its models: a few seconds, on a busy machine many."""

    groq_api_key: SecretStr | None = None
    """Groq's API key, with which drafts of retention e-mails are asked for. None and no file: every draft is the
    template's. Better a file: variables of a process are seen by more people."""

    groq_api_key_file: AbsolutePath | None = None
    """A file with that key, as a Secret is mounted; read at every call, so that a new key needs no restart."""

    groq_model: str = Field(default="llama-3.1-8b-instant", min_length=1, max_length=200)
    """Which of Groq's models writes; for a text of a hundred words a small one is enough."""

    groq_url: str = Field(default="https://api.groq.com", pattern=r"^https?://")
    """Where Groq answers, or a gateway that speaks its API. It is sent the key, and of a customer the risk band, the
    contract's phrases for at most three values and what may be offered: never an id, a name or a row."""

    groq_seconds: float = Field(default=4.0, gt=0, le=60)
    """How long Groq may take for one draft before the template stands in. With `insight_answer_seconds` stay below
    scoring's `GAUNTLET_INSIGHT_TIMEOUT_SECONDS`."""

    groq_calls_a_day: int = Field(default=1000, ge=0, le=1_000_000)
    """How many calls this process may make in a day (UTC); then the template writes. Kept in memory: a restart and
    every further replica begin anew, so the account's own limit is the last word. 0: Groq is never asked."""

    insight_host: str = "127.0.0.1"
    """The address that insight listens on. It asks nobody for a key: scoring does, and passes on who may come in."""

    insight_port: int = Field(default=3004, ge=0, le=65535)
    """The port that insight listens on."""

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.groq_api_key is not None and self.groq_api_key_file is not None:
            raise ValueError("GAUNTLET_GROQ_API_KEY and GAUNTLET_GROQ_API_KEY_FILE are both set; set one of them")
        return self

    def read_groq_key(self) -> str | None:
        """Groq's API key as it is now; None where there is none, or where its file cannot be read."""
        if self.groq_api_key_file is None:
            found = "" if self.groq_api_key is None else self.groq_api_key.get_secret_value()
        else:
            try:
                found = self.groq_api_key_file.read_text(encoding="ascii")
            except (OSError, UnicodeDecodeError):
                return None
        key = found.strip()
        return key if key and key.isascii() and key.isprintable() else None

    @property
    def experiment_path(self) -> Path | None:
        """The experiment file; None for the Bento's own champion."""
        return self.experiment_file or (Folder(self.folder).experiment if self.folder else None)


def read_insight_settings(**given: Any) -> InsightSettings:
    """The settings of this process: what is given here, then the environment, then defaults.

    Raises:
        InvalidSetting: With every variable that is not allowed.
    """
    try:
        return InsightSettings(**given)
    except ValidationError as e:
        raise InvalidSetting("; ".join(_said_of(error["loc"], error["msg"]) for error in e.errors())) from None


def _said_of(place: tuple[int | str, ...], said: str) -> str:
    """What is wrong with a setting, or with several together. What was given is not quoted: it may be a secret."""
    if not place:
        return said.removeprefix("Value error, ")
    return f"GAUNTLET_{'.'.join(map(str, place)).upper()}: {said}"
