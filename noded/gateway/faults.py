"""Which HTTP status is each answer, and how does each API word its errors? The only file with HTTP's numbers.

Form of an error, by the API's style (references: each project's API guide, "Faults" or "Errors"):

    KEYSTONE  {"error": {"code", "message", "title"}}
    NOVA      {"itemNotFound": {"code", "message"}}            also Cinder
    NEUTRON   {"NeutronError": {"type", "message", "detail"}}
    GLANCE    {"message", "code", "title"}
    NODED     {"error": {"what", "request_id"}}
    HTML      a page; who is not signed in is led to the page where that is done
"""

from html import escape
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import msgspec

from noded.core.errors import Kind, Refused, TooMany
from noded.core.route import Done
from noded.core.service import Endpoint, FaultStyle

SIGN_IN_PATH: Final = "/sign-in"
RETRY_AFTER_S: Final = 2

_DONE: Final[dict[Done, int]] = {
    Done.OK: 200,
    Done.CREATED: 201,
    Done.ACCEPTED: 202,
    Done.EMPTY: 204,
    Done.PARTIAL: 206,
    Done.CHOICES: 300,
    Done.SEE_OTHER: 303,
    Done.INCOMPLETE: 401,
}
_KINDS: Final[dict[Kind, int]] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.METHOD_NOT_ALLOWED: 405,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION: 412,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED_TYPE: 415,
    Kind.TOO_MANY: 429,
    Kind.OVER_QUOTA: 403,
    Kind.NO_ROOM: 409,
    Kind.RANGE: 416,
    Kind.UNAVAILABLE: 503,
    Kind.BUG: 500,
}
# Where an API is known to answer with another number than its siblings.
_EXCEPTIONS: Final[dict[tuple[str, Kind], int]] = {
    ("cinder", Kind.OVER_QUOTA): 413,
    ("glance", Kind.OVER_QUOTA): 413,
    ("neutron", Kind.OVER_QUOTA): 409,
}
_NOVA_NAMES: Final[dict[int, str]] = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    503: "serviceUnavailable",
}
_NEUTRON_TYPES: Final[dict[Kind, str]] = {
    Kind.INVALID: "HTTPBadRequest",
    Kind.FORBIDDEN: "PolicyNotAuthorized",
    Kind.NOT_FOUND: "HTTPNotFound",
    Kind.CONFLICT: "HTTPConflict",
    Kind.OVER_QUOTA: "OverQuota",
}
_BODILESS: Final = frozenset({204, 205, 304})


def status_of_done(done: Done) -> int:
    """The status of a success."""
    return _DONE[done]


def status_of_kind(kind: Kind, endpoint: Endpoint | None) -> int:
    """The status of a refusal, as this endpoint's API gives it."""
    name = endpoint.name if endpoint is not None else ""
    return _EXCEPTIONS.get((name, kind), _KINDS[kind])


def has_body(status: int) -> bool:
    """Whether an answer of this status may have a body."""
    return status not in _BODILESS


def is_fault(status: int) -> bool:
    """Whether it is the server's own fault, and so worth a look."""
    return status >= 500


class Fault(msgspec.Struct, frozen=True):
    """A refusal as it goes out."""

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...]


def fault(refused: Refused, endpoint: Endpoint | None, request_id: str, base_url: str, path: str) -> Fault:
    """What the client is told, in the form of the API that it asked."""
    style = endpoint.fault_style if endpoint is not None else FaultStyle.NODED
    status = status_of_kind(refused.kind, endpoint)
    if style is FaultStyle.HTML:
        return _page(refused, status, request_id, path)
    headers: list[tuple[str, str]] = []
    if refused.kind is Kind.UNAUTHENTICATED:
        headers.append(("www-authenticate", f'Keystone uri="{base_url}/identity/v3"'))
    if refused.kind is Kind.UNAVAILABLE or isinstance(refused, TooMany):
        wait_s = refused.retry_after_s if isinstance(refused, TooMany) else RETRY_AFTER_S
        headers.append(("retry-after", str(wait_s)))
    body = _json_form(style, refused, status, request_id)
    return Fault(status, msgspec.json.encode(body), "application/json", tuple(headers))


def _json_form(style: FaultStyle, refused: Refused, status: int, request_id: str) -> object:
    message, title = refused.message, HTTPStatus(status).phrase
    # Every OpenStack API leaves "who are you?" to Keystone's middleware, which answers in Keystone's form.
    if style is FaultStyle.KEYSTONE or (refused.kind is Kind.UNAUTHENTICATED and style is not FaultStyle.NODED):
        return {"error": {"code": status, "message": message, "title": title}}
    if style is FaultStyle.NOVA:
        return {_NOVA_NAMES.get(status, "computeFault"): {"code": status, "message": message}}
    if style is FaultStyle.NEUTRON:
        name = refused.code or _NEUTRON_TYPES.get(refused.kind, title.replace(" ", ""))
        return {"NeutronError": {"type": name, "message": message, "detail": ""}}
    if style is FaultStyle.GLANCE:
        return {"message": message, "code": f"{status} {title}", "title": title}
    return {"error": {"what": message, "kind": refused.kind.value, "request_id": request_id}}


def _page(refused: Refused, status: int, request_id: str, path: str) -> Fault:
    if refused.kind is Kind.UNAUTHENTICATED:
        location = f"{SIGN_IN_PATH}?next={quote(path, safe='/')}"
        return Fault(_DONE[Done.SEE_OTHER], b"", "text/html; charset=utf-8", (("location", location),))
    title = HTTPStatus(status).phrase
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><h1>{title}</h1><p>{escape(refused.message)}</p>"
        f'<p><a href="/">Back to the overview</a></p><p><small>{request_id}</small></p>'
    )
    return Fault(status, page.encode(), "text/html; charset=utf-8", ())
