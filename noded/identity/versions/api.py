"""Answers which versions of Keystone's API are served: what every client asks first, without a token."""

from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity.endpoint import IDENTITY

VERSION = "v3.14"
_UPDATED = "2020-04-07T00:00:00Z"


def _version(base_url: str) -> dict[str, object]:
    return {
        "id": VERSION,
        "status": "stable",
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": f"{base_url}{IDENTITY.prefix}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


async def list_versions(request: Request) -> Response:
    """GET /identity/."""
    return Response(body={"versions": {"values": [_version(request.base_url)]}})


async def show_version(request: Request) -> Response:
    """GET /identity/v3."""
    return Response(body={"version": _version(request.base_url)})


ROUTES = (
    Route(verb="GET", path="/", handler=list_versions, allow=Allow.ANYONE, done=Done.CHOICES),
    Route(verb="GET", path="/v3", handler=show_version, allow=Allow.ANYONE),
)
