"""May a page of another site call, and what is its browser told? Pure. (Fetch standard, "HTTP CORS protocol".)

A page needs a token of its own, in a header: cookies never count here, so no answer allows credentials. The dashboard's
pages are nobody else's to read.
"""

from collections.abc import Mapping
from typing import Final

from noded.core.service import Endpoint, FaultStyle
from noded.gateway_rules.model import ANY_SITE, GatewayRules

VERBS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, COPY, OPTIONS"
EXPOSED: Final = (
    "X-Subject-Token, X-OpenStack-Request-ID, X-Compute-Request-ID, OpenStack-API-Version,"
    " X-OpenStack-Nova-API-Version, Location, Link, ETag, Retry-After, Content-MD5, Accept-Ranges, Content-Range"
)
ASKED_CHARS_MAX: Final = 2000
PREFLIGHT_S: Final = 600  # how long a browser may remember


def headers_for(rules: GatewayRules | None, endpoint: Endpoint | None, headers: Mapping[str, str]) -> dict[str, str]:
    """What an answer says to the browser that asked for a page of another site; nothing, if that may not call."""
    if rules is None or not rules.origins:
        return {}
    origin = headers.get("origin", "")
    if endpoint is None or endpoint.fault_style is FaultStyle.HTML:
        return {}
    if not origin or not (ANY_SITE in rules.origins or origin in rules.origins):
        return {"vary": "Origin"}
    told = {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": EXPOSED,
        "vary": "Origin",
    }
    if is_preflight(headers):
        told["access-control-allow-methods"] = VERBS
        told["access-control-allow-headers"] = headers.get("access-control-request-headers", "")[:ASKED_CHARS_MAX]
        told["access-control-max-age"] = str(PREFLIGHT_S)
    return told


def is_preflight(headers: Mapping[str, str]) -> bool:
    """Whether a browser asks first whether it may ask; the verb is then OPTIONS."""
    return "origin" in headers and "access-control-request-method" in headers
