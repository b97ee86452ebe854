"""How routes become a description in OpenAPI 3.1. Pure."""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from noded.core.route import Allow, Done, Route
from noded.core.service import Endpoint
from noded.openapi.reading import Reading, reading_of
from noded.policy.model import OPEN, Action

Json = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{name}"
_VARIABLE: Final = re.compile(r"\{(\w+)(:path)?\}")
_BYTES: Final = "application/octet-stream"
_WORDS: Final = {
    Done.OK: "200", Done.CREATED: "201", Done.ACCEPTED: "202", Done.EMPTY: "204", Done.PARTIAL: "206",
    Done.CHOICES: "300", Done.SEE_OTHER: "303",
}  # fmt: skip


def description(actions: Iterable[Action], release: str) -> Json:
    """The whole of it. Pages are left out: browsers need no description."""
    actions = [action for action in actions if action.endpoint.name != "dashboard"]
    forms = _Forms([reading_of(route.handler) for action in actions for route in action.routes])
    paths: dict[str, Json] = {}
    for action in actions:
        for route in action.routes:
            path = _VARIABLE.sub(r"{\1}", action.endpoint.prefix + route.path) or "/"
            paths.setdefault(path, {})[route.verb.lower()] = _operation(action, route, path, forms)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "noded",
            "version": release,
            "description": "Every API that this node serves, made from its routes.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": forms.components,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    }


class _Forms:
    """The schemas of all bodies, under names that no two share."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        bodies = [body for each in readings for body in each.bodies]
        kinds = list({repr(kind): kind for body in bodies for kind in body[::2] if kind is not None}.values())
        schemas, self.components = msgspec.json.schema_components(
            kinds, schema_hook=lambda _: {"description": "Any JSON."}, ref_template=_REFERENCE
        )
        self._schemas = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}

    def body(self, reading: Reading) -> Json | None:
        """What the body may be; None: there is none."""
        told = [(kind, name, form) for kind, name, form in reading.bodies if name]
        plain = [body for body in reading.bodies if not any(body[0] is kind for kind, _, _ in told) and not body[1]]
        found = [self._within(*body) for body in told] + [self._schemas[repr(kind)] for kind, _, _ in plain]
        if not found:
            return None
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _within(self, kind: Any, name: str, form: Any) -> Json:
        """The body, one field of which is read as a form by itself."""
        whole = self._schemas[repr(kind)]
        inner = {"type": "object", "required": [name], "properties": {name: self._schemas[repr(form)]}}
        return {"allOf": [whole, inner]}


def _operation(action: Action, route: Route, path: str, forms: _Forms) -> Json:
    reading = reading_of(route.handler)
    words = (route.handler.__doc__ or "").strip()
    operation: Json = {
        "operationId": f"{route.verb} {path}",
        "summary": words.split("\n")[0],
        "tags": [action.endpoint.name],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name, _ in _VARIABLE.findall(route.path)
        ]
        + [{"name": name, "in": "query", "schema": {"type": "string"}} for name in sorted(reading.query)]
        + _version_headers(action.endpoint),
        "responses": {_WORDS[route.done]: {"description": "Done."}, "default": {"description": "Refused, with why."}},
        "x-policy": action.name,
    }
    if route.allow is Allow.ANYONE or action.default == OPEN:
        operation["security"] = []
    body = forms.body(reading)
    content: Json = {}
    if body is not None:
        content["application/json"] = {"schema": body}
    if reading.streams:
        content[_BYTES] = {"schema": {"type": "string", "format": "binary"}}
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _version_headers(endpoint: Endpoint) -> list[Json]:
    offered = endpoint.microversions
    if offered is None:
        return []
    lowest, highest = ("{}.{}".format(*version) for version in (offered.lowest, offered.highest))
    return [
        {
            "name": "OpenStack-API-Version",
            "in": "header",
            "description": f"From {lowest} to {highest}; without it, {lowest}.",
            "schema": {"type": "string", "examples": [f"{offered.word} {highest}"]},
        }
    ]
