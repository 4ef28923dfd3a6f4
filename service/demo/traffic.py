"""The customers of the demo: they ask over HTTP, one request each, and their truth comes back later."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
import msgspec

from bentos.artifact import Value
from bentos.errors import Unavailable

T = TypeVar("T")

_CONNECTIONS = 16
_OUTCOMES_A_CALL = 500


@dataclass(frozen=True)
class Door:
    """Where customers knock.

    Attributes:
        url: The base URL.
        headers: What every request carries: an API key, the host that an Ingress goes by.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"http://{self.headers['host']}" if "host" in self.headers else self.url


@dataclass(frozen=True)
class Customer:
    """Somebody whose truth is known to us, and not yet to the service.

    Attributes:
        customer_id: As in the data.
        features: As the service is sent them.
        outcome: The label that comes true.
    """

    customer_id: str
    features: dict[str, Value]
    outcome: str

    def with_broken(self, column: str, value: Value) -> Customer:
        """The same customer, as seen after a column broke upstream."""
        return Customer(self.customer_id, {**self.features, column: value}, self.outcome)


@dataclass(frozen=True)
class Answer:
    """What the service answered one customer."""

    prediction_id: str
    variant: str
    model: dict[str, str]
    probability: float
    label: str
    risk: str
    no_treatment: bool


@dataclass(frozen=True)
class Answered:
    """A batch of customers and what they were answered, in the same order."""

    customers: Sequence[Customer]
    answers: Sequence[Answer]

    @property
    def by_variant(self) -> Counter[str]:
        """How many customers each variant answered."""
        return Counter(answer.variant for answer in self.answers)


def ask(door: Door, customers: Sequence[Customer]) -> Answered:
    """Send every customer through `POST /v1/score`, sixteen at a time.

    Raises:
        Unavailable: The service refused or did not answer; the message carries its own words.
    """
    return Answered(customers, asyncio.run(_ask_all(door, customers)))


def tell_truths(door: Door, answered: Answered, *, now: datetime, window: timedelta) -> int:
    """Send each customer's truth through `POST /v1/outcomes`, observed when its maturity window had passed.

    Returns:
        How many truths were sent.
    """
    seen = (now + window).isoformat()
    outcomes = [
        {"prediction_id": answer.prediction_id, "outcome": customer.outcome, "observed_at": seen}
        for customer, answer in zip(answered.customers, answered.answers, strict=True)
    ]
    with httpx.Client(base_url=door.url, headers=door.headers, timeout=30, trust_env=False) as client:
        for batch in _batches(outcomes, _OUTCOMES_A_CALL):
            _answered(client.post("/v1/outcomes", json={"outcomes": batch}))
    return len(outcomes)


@dataclass(frozen=True)
class Drafted:
    """What insight says of one customer.

    Attributes:
        plain: Why they are scored as they are, for a reader who knows no statistics.
        subject: Of the e-mail that asks them to stay; nobody sends it.
        offers: What it offers.
        source: Who wrote it.
        why: Why it is from there.
    """

    plain: str
    subject: str
    offers: Sequence[str]
    source: str
    why: str


def riskiest(answered: Answered) -> tuple[Customer, Answer] | None:
    """Of those who may be written to the one whose risk is highest; None where nobody may be."""
    pairs = zip(answered.customers, answered.answers, strict=True)
    return max((pair for pair in pairs if not pair[1].no_treatment), key=lambda pair: pair[1].probability, default=None)


def ask_why(door: Door, customer: Customer, answer: Answer, *, patience_seconds: float) -> Drafted | str:
    """An explanation of an answer, and a draft of an e-mail because of it; or why there are none.

    Args:
        door: Where to ask.
        customer: Who was scored.
        answer: What was answered.
        patience_seconds: How long insight may take to be ready.
    """
    told: dict[str, Any] = {"features": customer.features, "model": answer.model}
    named = {"customer_id": customer.customer_id, "prediction_id": answer.prediction_id}
    until = time.monotonic() + patience_seconds
    with httpx.Client(base_url=door.url, headers=door.headers, timeout=30, trust_env=False) as client:
        while (why := client.post("/v1/explain", json=told)).status_code != httpx.codes.OK:
            if why.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() >= until:
                return _refusal(why)
            time.sleep(1)
        drafted = client.post("/v1/retention-email", json=told | named)
    if not drafted.is_success:
        return _refusal(drafted)
    email = drafted.json()
    return Drafted(
        plain=why.json()["explanation"]["plain"],
        subject=email["draft"]["subject"],
        offers=[offer for reason in email["reasons"] for offer in reason["offers"]],
        source=email["source"],
        why=email["detail"],
    )


def _refusal(response: httpx.Response) -> str:
    """Why there is no answer, in the service's own words where it has some."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{response.request.url.path} answered {response.status_code}"


def experiment_of(door: Door) -> dict[str, Any]:
    """What `GET /v1/experiment` says."""
    body: dict[str, Any] = _answered(
        httpx.get(f"{door.url}/v1/experiment", headers=door.headers, timeout=10, trust_env=False)
    )
    return body


async def _ask_all(door: Door, customers: Sequence[Customer]) -> list[Answer]:
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    async with httpx.AsyncClient(
        base_url=door.url, headers=door.headers, limits=limits, timeout=30, trust_env=False
    ) as client:

        async def one(customer: Customer) -> Answer:
            body = {"customer_id": customer.customer_id, "features": customer.features}
            answered = _answered(await client.post("/v1/score", json=body))
            return msgspec.convert(answered, type=Answer)

        return await _bounded(one, customers)


async def _bounded(call: Callable[[Customer], Awaitable[T]], customers: Iterable[Customer]) -> list[T]:
    gate = asyncio.Semaphore(_CONNECTIONS)

    async def one(customer: Customer) -> T:
        async with gate:
            return await call(customer)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(customer)) for customer in customers]
    except* (httpx.HTTPError, Unavailable) as failures:
        first = failures.exceptions[0]
        raise Unavailable(f"the service stopped answering: {first}") from first
    return [task.result() for task in tasks]


def _answered(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    raise Unavailable(f"{response.request.url.path} answered {response.status_code}: {response.text[:300]}")


def _batches(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
