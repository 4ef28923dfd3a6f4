"""OpenAPI 3.1 of the service, made from the table of routes and the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bentos.artifact import Contract, Value
from service import ids
from service.http.messages import Route
from service.routes import insight_schemas
from service.routes.examples import EXAMPLE_ID, EXAMPLE_MOMENT, example_features
from service.routes.schemas import Schema, component_schemas, ref

__all__ = ["EXAMPLE_ID", "EXAMPLE_MOMENT", "Schema", "describe_service", "example_features"]

Example = Mapping[str, Value]

_JSON, _NDJSON, _CSV = "application/json", "application/x-ndjson", "text/csv"
_REFUSALS = {
    "400": "The body is no JSON",
    "401": "An API key is needed",
    "403": "The API key may not ask this",
    "404": "What the request names, such as a model, is not here",
    "408": "The body did not arrive in time",
    "413": "The body is too large",
    "415": "The body is declared as something that the route does not read",
    "422": "A field is not what is allowed; each is named",
    "429": "Too many rows of this client, or too many requests at once; Retry-After says when to come again",
    "503": "Something that is needed does not answer, or this process is not ready; the reason is named",
}
_SECURITY: Schema = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key: `Authorization: Bearer …`. A service that listens on loopback alone asks for none.",
    }
}
_TEXT: Schema = {"type": "string"}
_PARAMETERS: Schema = {
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Passed on, logged and sent back.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "TraceParent": {
        "name": "traceparent",
        "in": "header",
        "description": "W3C trace context; its trace id is logged, and it is passed on.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": f"{ids.ALLOWED}, at most 24 hours old: a retry is answered by the same decision and logged "
        "once, on any replica. In a batch it stands for an id of each row, by the row's place.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Variant": {
        "name": "Gauntlet-Variant",
        "in": "header",
        "description": "Whose answer is wanted, where the experiment lets a header choose; never evidence.",
        "schema": {"enum": ["champion", "challenger"]},
    },
}


def describe_service(routes: Sequence[Route], contract: Contract, version: str, example: Example) -> Schema:
    """The whole document, from the table of routes that answers.

    Args:
        routes: Those with an operation are described.
        contract: What requests are checked by.
        version: Of Gauntlet.
        example: A row that the contract allows.
    """
    paths: dict[str, Schema] = {}
    for route in routes:
        if route.operation:
            paths.setdefault(route.path, {})[route.method.lower()] = _describe_route(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Gauntlet: {contract.name}", "version": version, "description": _about(contract)},
        "paths": paths,
        "components": {
            "schemas": component_schemas(contract, example),
            "parameters": _PARAMETERS,
            "securitySchemes": _SECURITY,
        },
    }


def score_operation(example: Example) -> Schema:
    """Of `POST /v1/score`, with a row that the contract allows."""
    return {
        "operationId": "score",
        "parameters": _parameters("IdempotencyKey", "Variant"),
        "requestBody": _body({_JSON: _content("ScoreRequest", _example_row(example, 1))}),
        "responses": {"200": _answers("The answer", "Answer"), **_refusals("422", "503")},
    }


def batch_operation(example: Example, most_rows: int) -> Schema:
    """Of `POST /v1/score/batch`.

    Args:
        example: A row that the contract allows.
        most_rows: How many a JSON body may hold.
    """
    rows = [_example_row(example, 1), _example_row(example, 2)]
    about = (
        f"As JSON up to {most_rows:,} rows. As a stream of lines (application/x-ndjson) any number: each line is a "
        "row, answered by a line, in order and while the stream goes on; so read while you send. A stream goes as fast "
        "as the client's rate allows."
    )
    return {
        "operationId": "scoreBatch",
        "description": about,
        "parameters": _parameters("IdempotencyKey", "Variant"),
        "requestBody": _body({_JSON: _content("Batch", {"rows": rows}), _NDJSON: _lines("ScoreRequest", rows)}),
        "responses": {
            "200": {
                "description": "An answer a row, in order; a row that is not allowed is named in its place",
                "content": {_JSON: _content("BatchAnswer"), _NDJSON: {"schema": _TEXT}},
            },
            **_refusals("422", "503"),
        },
    }


def outcomes_operation(contract: Contract, most_rows: int) -> Schema:
    """Of `POST /v1/outcomes`.

    Args:
        contract: Says how outcomes are spelled.
        most_rows: How many a JSON body may hold.
    """
    example = {"prediction_id": EXAMPLE_ID, "outcome": contract.labels.positive, "observed_at": EXAMPLE_MOMENT}
    return _telling_operation("outcomes", "Outcome", example, most_rows)


def treatments_operation(most_rows: int) -> Schema:
    """Of `POST /v1/treatments`.

    Args:
        most_rows: How many a JSON body may hold.
    """
    example = {"prediction_id": EXAMPLE_ID, "action": "retention-email", "taken_at": EXAMPLE_MOMENT}
    return _telling_operation("treatments", "Treatment", example, most_rows)


def explain_operation(example: Example, contract: Contract) -> Schema:
    """Of `POST /v1/explain`.

    Args:
        example: A row that the contract allows.
        contract: What requests are checked by.
    """
    asked = insight_schemas.explain_request(example)
    found = {"description": "The explanation", "content": {_JSON: {"schema": insight_schemas.explain_answer(contract)}}}
    return _insight_operation("explain", asked, found)


def email_operation(example: Example, contract: Contract) -> Schema:
    """Of `POST /v1/retention-email`.

    Args:
        example: A row that the contract allows.
        contract: What requests are checked by.
    """
    asked = insight_schemas.email_request(example, contract)
    content = {_JSON: {"schema": insight_schemas.email_answer(contract)}}
    found = {"description": "The draft, or the notice that actions are withheld from this customer", "content": content}
    return _insight_operation("retentionEmail", asked, found)


def experiment_operation() -> Schema:
    """Of `GET /v1/experiment`."""
    return {
        "operationId": "experiment",
        "responses": {
            "200": _answers("The experiment, and what the judge says of it", "Experiment"),
            **_refusals("503"),
        },
    }


def text_operation(operation_id: str, content_type: str, *statuses: str) -> Schema:
    """Of a route that answers something else than JSON of its own."""
    found = {"description": "As it says", "content": {content_type: {"schema": _TEXT}}}
    return {"operationId": operation_id, "responses": {"200": found, **_refusals(*statuses)}}


def _describe_route(route: Route) -> Schema:
    """A route's own operation, with what holds for every route of its kind."""
    operation = {"summary": route.summary, **route.operation}
    refused = ["401", "403"] if route.needs_key else []
    refused += ["429"] if route.is_bounded else []
    refused += ["400", "408", "413", "415"] if route.method == "POST" else []
    operation["responses"] = dict(sorted({**_refusals(*refused), **operation["responses"]}.items()))
    operation["parameters"] = [*_parameters("RequestId", "TraceParent"), *operation.get("parameters", [])]
    if route.needs_key:
        operation["security"] = [{"key": []}]
    return operation


def _telling_operation(name: str, schema: str, example: Mapping[str, Any], most_rows: int) -> Schema:
    many: Schema = {
        "type": "object",
        "required": [name],
        "additionalProperties": False,
        "properties": {name: {"type": "array", "minItems": 1, "maxItems": most_rows, "items": ref(schema)}},
    }
    table = ",".join(example) + "\n" + ",".join(map(str, example.values())) + "\n"
    about = (
        f"A JSON body (one, or up to {most_rows:,} as a list) is taken whole or not at all. Of a stream of lines, as "
        "application/x-ndjson or text/csv with its header, every right line is taken, and the others are named; a "
        "thousand bad lines end it."
    )
    one_or_many = {"schema": {"oneOf": [ref(schema), many]}, "example": {name: [dict(example)]}}
    contents = {_JSON: one_or_many, _NDJSON: _lines(schema, [example]), _CSV: {"schema": _TEXT, "example": table}}
    return {
        "operationId": name,
        "description": about,
        "requestBody": _body(contents),
        "responses": {"202": _answers("How many are taken", "Taken"), **_refusals("422", "503")},
    }


def _insight_operation(operation_id: str, asked: Schema, found: Schema) -> Schema:
    return {
        "operationId": operation_id,
        "description": "Answered by insight, a service of its own.",
        "requestBody": _body({_JSON: asked}),
        "responses": {"200": found, **_refusals("404", "422", "503")},
    }


def _about(contract: Contract) -> str:
    return (
        f"Scores {contract.id} for {contract.target}: the probability of {contract.labels.positive!r}, answered from "
        f"{contract.cut:g} on. Every answer has a prediction_id, by which its outcome is sent later."
    )


def _example_row(example: Example, number: int) -> dict[str, str | dict[str, Value]]:
    return {"customer_id": f"customer-{number}", "features": dict(example)}


def _body(contents: Mapping[str, Schema]) -> Schema:
    return {"required": True, "content": dict(contents)}


def _content(name: str, example: Any = None) -> Schema:
    return {"schema": ref(name)} | ({} if example is None else {"example": example})


def _lines(name: str, examples: Sequence[Mapping[str, Any]]) -> Schema:
    """Of a stream of JSON lines; OpenAPI 3.1 has no word for it but text."""
    return {
        "schema": {**_TEXT, "description": f"On each line one {name}."},
        "example": "".join(json.dumps(example) + "\n" for example in examples),
    }


def _parameters(*names: str) -> list[Schema]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _answers(description: str, name: str) -> Schema:
    return {"description": description, "content": {_JSON: {"schema": ref(name)}}}


def _refusals(*statuses: str) -> Schema:
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {status: {"description": _REFUSALS[status], "content": content} for status in statuses}
