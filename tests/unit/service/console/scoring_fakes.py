"""A scoring service without a network: it knows the routes that the console asks, and answers by a rule of thumb."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from service.console.service_client import ServiceClient
from service.console.settings import read_console_settings

MODEL = {"name": "leaving", "version": "2", "digest": "sha256:champion"}


class FakeScoring(httpx.BaseTransport):
    """Answers like scoring, and keeps what it was asked.

    Attributes:
        asked: Route, body and headers of every request.
        answers: What a route answers instead: status and body.
    """

    def __init__(self, probability: Callable[[Mapping[str, Any]], float] = lambda _: 0.7) -> None:
        self.asked: list[tuple[str, Any, httpx.Headers]] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        self._probability = probability

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read() or b"null")
        self.asked.append((request.url.path, body, request.headers))
        if request.url.path in self.answers:
            status, said = self.answers[request.url.path]
            return httpx.Response(status, json=said) if not isinstance(said, str) else httpx.Response(status, text=said)
        if request.url.path == "/v1/score":
            return httpx.Response(200, json=self._answer(body))
        if request.url.path == "/v1/score/batch":
            rows = [self._answer(row) for row in body["rows"]]
            return httpx.Response(200, json={"predictions": rows, "accepted": len(rows), "refused": 0})
        raise httpx.ConnectError("nobody listens")

    def _answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        probability = self._probability(row["features"])
        return {
            "prediction_id": "01a216c2-2125-763d-90bd-c20e4a15f263",
            "variant": "champion",
            "model": MODEL,
            "probability": probability,
            "label": "gone" if probability >= 0.5 else "here",
            "risk": "high",
            "no_treatment": False,
        }


def client_of(fake: FakeScoring, folder: Path, **given: Any) -> ServiceClient:
    """The console's client in front of a fake."""
    return ServiceClient(read_console_settings(folder=folder, **given), fake)
