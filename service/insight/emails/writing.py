"""Who writes a draft: Groq where it may be asked and answers well, the template everywhere else, and why."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from service.insight.emails.drafts import Draft, read_draft
from service.insight.emails.facts import Brief
from service.insight.emails.groq_client import Fault, NoAnswer
from service.insight.emails.prompt import write_messages
from service.insight.emails.template import Templates
from service.scoring.circuit import Circuit

logger = logging.getLogger("gauntlet.insight")

DAY_MICROS = 86_400_000_000

Source = Literal["groq", "template"]
Why = Literal[Fault, "answered", "no_key", "asked_to_wait", "circuit_open", "budget_spent", "draft_refused"]
"""Why a draft is from whom it is from."""

Complete = Callable[[list[dict[str, str]], str], Awaitable[str | NoAnswer]]
ReadKey = Callable[[], str | None]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A draft and who wrote it.

    Attributes:
        draft: The e-mail.
        source: Who wrote it.
        reason: Why it is from there, as metrics count it.
        detail: The same for people.
    """

    draft: Draft
    source: Source
    reason: Why
    detail: str


@dataclass
class DailyBudget:
    """How many calls a day (UTC) may cost money; of this process, beginning anew when it starts.

    Attributes:
        most: A day.
    """

    most: int
    _day: int = field(default=-1, init=False)
    _spent: int = field(default=0, init=False)

    def left(self, now: int) -> int:
        """How many calls are left at a moment, in microseconds since 1970 UTC."""
        return self.most - (self._spent if now // DAY_MICROS == self._day else 0)

    def take(self, now: int) -> bool:
        """Spend a call; gives whether there was one left."""
        if self.left(now) <= 0:
            return False
        if now // DAY_MICROS != self._day:
            self._day, self._spent = now // DAY_MICROS, 0
        self._spent += 1
        return True


class Writer:
    """Writes drafts.

    Attributes:
        budget: Calls a day.
        circuit: Open while Groq fails.
    """

    def __init__(
        self,
        complete: Complete,
        read_key: ReadKey,
        *,
        budget: DailyBudget,
        clock: Callable[[], int],
        count: Callable[[Source, Why, float | None], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nobody yet.

        Args:
            complete: Asks Groq.
            read_key: Groq's API key as it is now; None where there is none.
            budget: Calls a day.
            clock: Now, in microseconds since 1970 UTC.
            count: Counts a draft: who wrote it, why, and the seconds that Groq took; None where it was not asked.
            monotonic: For pauses, in seconds.
        """
        self.budget = budget
        self.circuit = Circuit("groq", budget_seconds=float("inf"), clock=monotonic, plane="insight")
        self._complete, self._read_key = complete, read_key
        self._clock, self._count, self._monotonic = clock, count, monotonic
        self._templates = Templates()
        self._asked_to_wait_until = 0.0

    async def write(self, brief: Brief) -> Written:
        """A draft for a brief."""
        key = self._read_key()
        reason, detail = self._may_ask(key)
        seconds = None
        if key is not None and reason == "answered":
            began = self._monotonic()
            draft, reason, detail = await self._ask(brief, key)
            seconds = self._monotonic() - began
            self.circuit.note(failed=draft is None and reason != "rate_limited", seconds=seconds)
            if draft is not None:
                self._count("groq", reason, seconds)
                return Written(draft=draft, source="groq", reason=reason, detail=detail)
            logger.warning("groq_gave_no_draft", extra={"reason": reason, "detail": detail})
        self._count("template", reason, seconds)
        return Written(draft=self._templates.write(brief), source="template", reason=reason, detail=detail)

    def _may_ask(self, key: str | None) -> tuple[Why, str]:
        """Whether Groq may be asked now; `answered` where it may, which costs a call of the day's."""
        wait = self._asked_to_wait_until - self._monotonic()
        if key is None:
            return "no_key", "no API key of Groq is set: GAUNTLET_GROQ_API_KEY_FILE"
        if wait > 0:
            return "asked_to_wait", f"Groq asked to be left alone for another {wait:.0f} s"
        if not self.circuit.lets_through():
            return "circuit_open", "Groq failed several times in a row and is left alone for a while"
        if not self.budget.take(self._clock()):
            return "budget_spent", f"all {self.budget.most} calls of this day are spent"
        return "answered", ""

    async def _ask(self, brief: Brief, key: str) -> tuple[Draft | None, Why, str]:
        content = await self._complete(write_messages(brief), key)
        if isinstance(content, NoAnswer):
            until = self._monotonic() + content.pause_seconds
            self._asked_to_wait_until = max(self._asked_to_wait_until, until)
            return None, content.fault, content.detail
        draft = read_draft(content, brief)
        if isinstance(draft, str):
            return None, "draft_refused", f"what Groq wrote was refused: {draft}"
        return draft, "answered", "checked by word lists alone, so that a person must read it before it is sent"
