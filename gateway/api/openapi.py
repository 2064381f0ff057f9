"""The OpenAPI 3.1 document, generated from the types that decode requests and make answers."""

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.api.operations import Operation, statuses_of
from gateway.events.shapes import WebhookBody
from gateway.http.problems import PROBLEMS, Problem
from gateway.http.routes import Route

VERSION = "1"
REFERENCE = "#/components/schemas/{name}"
NDJSON = "application/x-ndjson"

_HEADERS: dict[str, Any] = {
    "X-Request-Id": {
        "description": "Echoed from the request, or made here. Name it when you ask for help.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "Parts left of the tighter rate, the account's or the key's; seconds until there are more.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "That rate.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "Idempotency-Replayed": {
        "description": "true: the answer of the first request with this key.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Where the message or batch can be asked for.", "schema": {"type": "string"}},
}
_SUCCESSES = {101: "WebSocket from here on.", 200: "Done.", 201: "Made.", 202: "Durably accepted."}
_IDEMPOTENCY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repetition harmless: within 24 hours the same key and body give the first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The document of those routes that describe themselves."""
    described = [(route, route.document) for route in routes if isinstance(route.document, Operation)]
    types: list[Any] = [Problem, WebhookBody]
    for _, operation in described:
        types += [kind for kind in (operation.takes, operation.lines, operation.answer) if is_struct(kind)]
        types += operation.spoken
    _, schemas = msgspec.json.schema_components(list(dict.fromkeys(types)), ref_template=REFERENCE)
    paths: dict[str, Any] = {}
    for route, operation in described:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sluice",
            "version": VERSION,
            "description": "Send SMS, and hear what became of them. GET /v1/reference is this for people.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "webhooks": {"events": {"post": _POSTED}},
        "components": {
            "schemas": schemas,
            "headers": _HEADERS,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: gw_live_… sends, gw_test_… only pretends to.",
                }
            },
            "responses": {
                code: {
                    "description": f"{kind.title}. {kind.advice}",
                    "content": {"application/problem+json": {"schema": _ref(Problem)}},
                }
                for code, kind in PROBLEMS.items()
            },
        },
    }


_POSTED: dict[str, Any] = {
    "operationId": "receive_events",
    "summary": "Hear of events at your own server",
    "description": "What a webhook's receiver gets, signed as Standard Webhooks 1.0.0 says. At least once, in no"
    " promised order: an event's `id` tells repetitions.",
    "parameters": [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in (
            ("webhook-id", "The same for every attempt of this delivery."),
            ("webhook-timestamp", "Unix seconds of this attempt. Refuse what is older than five minutes."),
            (
                "webhook-signature",
                "`v1,` and the base64 of HMAC-SHA256 over id.timestamp.body; two during a rotation.",
            ),
        )
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": REFERENCE.format(name=WebhookBody.__name__)}}},
    },
    "responses": {
        "2XX": {"description": "Taken. Answer within 15 s."},
        "410": {"description": "The endpoint is turned off."},
        "429": {"description": "Fewer requests from now on, as for 502 and 504. Retry-After is kept."},
        "default": {"description": "Tried again, ten times within three days; then it is a dead letter."},
    },
}


def is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _ref(kind: Any) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(name=kind.__name__)}


def _operation(route: Route, operation: Operation) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _names(route.template)
    ]
    parameters += [
        {
            "name": parameter.name,
            "in": "query",
            "required": False,
            "description": parameter.text,
            "schema": parameter.schema,
        }
        for parameter in operation.parameters
    ]
    if operation.repeatable:
        parameters.append(_IDEMPOTENCY)
    made: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.text,
        "parameters": parameters,
        "responses": _responses(operation),
        "security": [] if operation.scope is None else [{"key": []}],
    }
    if operation.scope is not None:
        made["x-scope"] = operation.scope
    if operation.spoken:
        made["x-websocket"] = [_ref(kind) for kind in operation.spoken]
    if operation.takes is not None:
        content: dict[str, Any] = {"application/json": {"schema": _ref(operation.takes)}}
        if operation.example is not None:
            content["application/json"]["example"] = operation.example
        if operation.lines is not None:
            content[NDJSON] = {"schema": {"type": "string", "description": "A line each: MessageIn."}}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _responses(operation: Operation) -> dict[str, Any]:
    schema: dict[str, Any] = (
        _ref(operation.answer)
        if is_struct(operation.answer)
        else {"type": "string" if operation.answer is str else "object"}
    )
    names = ["X-Request-Id"]
    if operation.status == 202:
        names += ["Location", "RateLimit", "RateLimit-Policy"]
    if operation.repeatable:
        names.append("Idempotency-Replayed")
    success: dict[str, Any] = {
        "description": _SUCCESSES[operation.status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    if operation.answer is not None:
        success["content"] = {operation.answer_type: {"schema": schema}}
    if operation.also_answers:
        success["content"][operation.also_answers] = {"schema": {"type": "string"}}
    if operation.links:
        parameters = {"id": "$response.body#/id"}
        success["links"] = {name: {"operationId": name, "parameters": parameters} for name in operation.links}
    responses: dict[str, Any] = {str(operation.status): success}
    for status, codes in statuses_of(operation).items():
        if len(codes) == 1:
            responses[str(status)] = {"$ref": f"#/components/responses/{codes[0]}"}
            continue
        responses[str(status)] = {
            "description": " Or: ".join(PROBLEMS[code].title for code in codes) + ".",
            "content": {"application/problem+json": {"schema": _ref(Problem)}},
        }
    return responses


def _names(template: str) -> list[str]:
    return [segment[1:-1] for segment in template.split("/") if segment.startswith("{")]
