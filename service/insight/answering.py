"""`POST /v1/explain`: whose word, which row, and an explanation that may be kept from the last time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec

from bentos.errors import InvalidRequest, NotFound, Problem, Unavailable
from service.http.messages import Request, Response
from service.http.problems import HttpRefusal, kind_of
from service.insight.bodies import ExplainRequest, read_explain
from service.insight.explanation import Explanation
from service.insight.frames import Ask
from service.prediction_log.records import Variant
from service.routes.asking import Clock
from service.scoring.deciding import Roles
from service.scoring.models import Identity, Model, Models
from service.scoring.watching import ExperimentWatch

COME_AGAIN_SECONDS = 5
"""What a client is told to wait where a worker is being replaced or all of them are busy."""

_encode = msgspec.json.Encoder().encode

Explain = Callable[[Ask], Awaitable[Explanation]]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What `POST /v1/explain` answers.

    Attributes:
        model: Whose word is explained.
        variant: The role that this model plays now; None where it plays none.
        explanation: Of its word.
    """

    model: Identity
    variant: Variant | None
    explanation: Explanation


class Cache:
    """The explanations that were asked for last. A model is its digest, so what was right once stays right."""

    def __init__(self, most: int) -> None:
        """Keep nothing yet.

        Args:
            most: How many are kept; those that nobody asked for longest are forgotten.
        """
        self._most = most
        self._kept: OrderedDict[Ask, Explanation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, asked: Ask) -> Explanation | None:
        """What was explained before."""
        if asked in self._kept:
            self._kept.move_to_end(asked)
        return self._kept.get(asked)

    def put(self, asked: Ask, found: Explanation) -> None:
        """Keep an explanation."""
        if self._most:
            self._kept[asked] = found
            self._kept.move_to_end(asked)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)


class ExplainHandler:
    """Answers `POST /v1/explain`."""

    def __init__(self, models: Models, watch: ExperimentWatch, explain: Explain, *, cache: Cache, clock: Clock) -> None:
        """Answer from a pool.

        Args:
            models: What the Bento carries.
            watch: Who plays which role.
            explain: Explains a row.
            cache: Keeps what was explained.
            clock: Now.
        """
        self._models = models
        self._watch = watch
        self._explain = explain
        self._cache = cache
        self._clock = clock

    async def answer(self, request: Request) -> Response:
        """Explain one row.

        Raises:
            HttpRefusal: The body is no JSON, or nobody explained the row in time.
            BadInput: It asks for what is not there or not allowed.
            NotExplained: The explanation does not add up.
        """
        asked = read_explain(request.body)
        roles = self._watch.active(self._clock())
        model = self._model_of(asked, roles)
        row = self._models.rows.encoder.encode_row(asked.features)
        explanation = await self._explained(Ask(digest=model.digest, row=row.tobytes()))
        variant = _role_of(model, roles)
        return Response(200, _encode(Answer(model=model.identity, variant=variant, explanation=explanation)))

    async def _explained(self, asked: Ask) -> Explanation:
        found = self._cache.get(asked)
        if found is None:
            try:
                found = await self._explain(asked)
            except Unavailable as e:
                raise HttpRefusal(kind_of(e), str(e), (b"retry-after", b"%d" % COME_AGAIN_SECONDS)) from e
            self._cache.put(asked, found)
        return found

    def _model_of(self, asked: ExplainRequest, roles: Roles | None) -> Model:
        """Whose word is asked about: the named model's, the variant's, or the champion's."""
        if asked.digest is not None:
            model = self._models.by_digest.get(asked.digest)
            if model is None:
                allowed = ", ".join(f"{one.identity} ({digest})" for digest, one in self._models.by_digest.items())
                raise NotFound(f"there is no model {asked.digest[:80]!r} here; explained are {allowed}")
            return model
        if roles is None:
            raise HttpRefusal(
                kind_of(Unavailable()),
                f"nobody knows who the champion is: {self._watch.not_ready(self._clock())}; name a model by its digest",
                (b"retry-after", b"%d" % COME_AGAIN_SECONDS),
            )
        return roles.champion if asked.variant != "challenger" else _challenger(roles)


def _challenger(roles: Roles) -> Model:
    """The one challenger on trial.

    Raises:
        InvalidRequest: None is, or several are.
    """
    if len(roles.challengers) == 1:
        return roles.challengers[0]
    named = ", ".join(model.digest for model in roles.challengers)
    several = f"left out for a model's digest, as several are on trial: {named}"
    allowed = several if named else "'champion', as nobody is on trial"
    raise InvalidRequest("body", [Problem("variant", "'challenger'", allowed)])


def _role_of(model: Model, roles: Roles | None) -> Variant | None:
    if roles is None:
        return None
    if model.digest == roles.champion.digest:
        return "champion"
    return "challenger" if any(model.digest == one.digest for one in roles.challengers) else None
