"""`POST /v1/retention-email`: the explanation, what may be offered because of it, and a draft of an e-mail."""

from __future__ import annotations

import msgspec

from bentos.errors import NotFound
from service.http.messages import Request, Response
from service.insight.answering import Explaining
from service.insight.emails.asked import read_email
from service.insight.emails.drafts import Draft
from service.insight.emails.facts import Brief, Fact, choose_facts
from service.insight.emails.writing import Source, Why, Writer
from service.insight.reasons import Reason
from service.prediction_log.records import Variant
from service.routes.drafting import ACTION, LANGUAGES, Tone, languages_of
from service.scoring.models import Identity, Models

_encode = msgspec.json.Encoder().encode


class EmailReason(msgspec.Struct, frozen=True, kw_only=True):
    """One of the reasons that a draft is about.

    Attributes:
        feature: Its name.
        phrase: The value as people name it.
        contribution: What it adds to the model's answer, in the explanation's space.
        sentence: The same in words.
        offers: What the draft may offer because of it, in its language.
    """

    feature: str
    phrase: str
    contribution: float
    sentence: str
    offers: tuple[str, ...]


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """How sending is recorded; nothing is sent from here.

    Attributes:
        is_sent: Always false.
        how: In words.
        treatment: What to tell, but for when it was done.
    """

    is_sent: bool = False
    how: str = (
        "This is a draft, and nothing was sent. Whoever sends it tells POST /v1/treatments, with prediction_id and "
        "taken_at, or the experiment counts this customer as left alone."
    )
    treatment: dict[str, str | None]


class EmailAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `POST /v1/retention-email` answers.

    Attributes:
        draft: The e-mail.
        source: Who wrote it.
        reason: Why it is from there: one of a few words.
        detail: The same in a sentence.
        risk: The risk band that the draft was written for.
        reasons: What it is about, the largest first.
        tone: As it was asked for.
        language: As it was asked for.
        model: By whose word.
        variant: The role that this model plays now.
        sending: How sending is recorded.
    """

    draft: Draft
    source: Source
    reason: Why
    detail: str
    risk: str
    reasons: list[EmailReason]
    tone: Tone
    language: str
    model: Identity
    variant: Variant | None
    sending: Sending


class EmailHandler:
    """Answers `POST /v1/retention-email`."""

    def __init__(self, models: Models, explaining: Explaining, writer: Writer) -> None:
        """Answer from explanations.

        Args:
            models: What the Bento carries.
            explaining: Gives reasons.
            writer: Writes drafts.
        """
        self._models, self._explaining, self._writer = models, explaining, writer
        self._languages = languages_of(models.contract)

    async def answer(self, request: Request) -> Response:
        """Draft one e-mail.

        Raises:
            HttpRefusal: The body is no JSON, or nobody explained the row in time.
            BadInput: It asks for what is not there or not allowed.
            NotExplained: The explanation does not add up.
        """
        if not self._languages:
            known = ", ".join(LANGUAGES)
            raise NotFound(f"no draft can be written: the contract has words in none of {known}")
        asked = read_email(request.body, self._languages)
        found = await self._explaining.explain(asked.explain)
        contract = self._models.by_digest[found.model.digest].contract
        by_name = {reason.feature: reason for reason in found.explanation.reasons}
        facts = choose_facts(contract, found.explanation.reasons, found.explanation.space, asked.language)
        brief = Brief(risk=found.explanation.risk, facts=facts, tone=asked.tone, language=asked.language)
        written = await self._writer.write(brief)
        answer = EmailAnswer(
            draft=written.draft,
            source=written.source,
            reason=written.reason,
            detail=written.detail,
            risk=brief.risk,
            reasons=[_reason_of(fact, by_name[fact.feature]) for fact in facts],
            tone=brief.tone,
            language=brief.language,
            model=found.model,
            variant=found.variant,
            sending=Sending(treatment={"prediction_id": asked.prediction_id, "action": ACTION}),
        )
        return Response(200, _encode(answer))


def _reason_of(fact: Fact, reason: Reason) -> EmailReason:
    return EmailReason(
        feature=fact.feature,
        phrase=fact.phrase,
        contribution=reason.contribution,
        sentence=reason.sentence,
        offers=fact.offers,
    )
