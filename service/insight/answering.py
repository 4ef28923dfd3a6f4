"""`POST /v1/explain`: whose word, which row, and an explanation that may be kept from the last time.

The retention e-mail begins with the same explanation.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from bentos.errors import GauntletError, InvalidRequest, NotFound, Problem, Unavailable
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

Explained = Literal["explained", "kept", "unavailable", "failed"]
"""What came of an explanation: made, found among those kept, nobody made it in time, or it does not add up."""

CountExplained = Callable[[Identity, Explained, float], None]
"""Counts an explanation: whose word, what came of it, and the seconds that it took."""


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


class Explaining:
    """Explains whatever row whoever's word is asked about."""

    def __init__(
        self,
        models: Models,
        watch: ExperimentWatch,
        explain: Explain,
        *,
        cache: Cache,
        clock: Clock,
        count: CountExplained,
    ) -> None:
        """Explain by a pool.

        Args:
            models: What the Bento carries.
            watch: Who plays which role.
            explain: Explains a row.
            cache: Keeps what was explained.
            clock: Now.
            count: Counts what was explained.
        """
        self._count = count
        self._models = models
        self._watch = watch
        self._explain = explain
        self._cache = cache
        self._clock = clock

    async def explain(self, asked: ExplainRequest) -> Answer:
        """Explain one row.

        Raises:
            HttpRefusal: Nobody explained the row in time.
            BadInput: It asks for what is not there or not allowed.
            NotExplained: The explanation does not add up.
        """
        roles = self._roles()
        model = self._model_of(asked, roles)
        row = self._models.rows.encoder.encode_row(asked.features)
        explanation = await self._explained(model.identity, Ask(digest=model.digest, row=row.tobytes()))
        return Answer(model=model.identity, variant=_role_of(model, roles), explanation=explanation)

    async def _explained(self, model: Identity, asked: Ask) -> Explanation:
        found = self._cache.get(asked)
        if found is not None:
            self._count(model, "kept", 0.0)
            return found
        began = time.perf_counter()
        try:
            found = await self._explain(asked)
        except Unavailable as e:
            self._count(model, "unavailable", time.perf_counter() - began)
            raise HttpRefusal(kind_of(e), str(e), (b"retry-after", b"%d" % COME_AGAIN_SECONDS)) from e
        except GauntletError:
            self._count(model, "failed", time.perf_counter() - began)
            raise
        self._count(model, "explained", time.perf_counter() - began)
        self._cache.put(asked, found)
        return found

    def _roles(self) -> Roles | None:
        """Who plays which role now; None where that is not known.

        Scoring goes on by the last good roles where the file names a champion that it does not carry. Here that would
        explain another model's word than the one that customers were answered by.
        """
        return self._watch.active(self._clock()) if self._watch.is_champion_present else None

    def _unknown(self) -> str | None:
        """Why roles are not known."""
        if self._watch.is_champion_present:
            return self._watch.not_ready(self._clock())
        return "the experiment's is not in this Bento, so roll out insight's image of the Bento that is served"

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
                f"nobody knows who the champion is: {self._unknown()}; name a model by its digest",
                (b"retry-after", b"%d" % COME_AGAIN_SECONDS),
            )
        return roles.champion if asked.variant != "challenger" else _challenger(roles)


class ExplainHandler:
    """Answers `POST /v1/explain`."""

    def __init__(self, explaining: Explaining) -> None:
        """Answer what is explained there."""
        self._explaining = explaining

    async def answer(self, request: Request) -> Response:
        """Explain one row.

        Raises:
            HttpRefusal: The body is no JSON, or nobody explained the row in time.
            BadInput: It asks for what is not there or not allowed.
            NotExplained: The explanation does not add up.
        """
        return Response(200, _encode(await self._explaining.explain(read_explain(request.body))))


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
