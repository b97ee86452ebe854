"""Answers /users/{user_id}/OS-OAUTH1/access_tokens."""

from noded.core.errors import Forbidden, NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.times import zulu_micro
from noded.identity import views
from noded.identity.delegations import AccessToken
from noded.identity.listing import listed
from noded.identity.model import Role
from noded.identity.oauth1.commands import DeleteAccessToken


async def list_access_tokens(request: Request) -> Response:
    """GET /users/{user_id}/OS-OAUTH1/access_tokens."""
    _expect_self(request)
    found = request.cluster.view().find(AccessToken, "user_id", request.params["user_id"])
    entries = [_body(request.base_url, access) for access in found]
    return listed(request, "access_tokens", entries, request.base_url + request.path)


async def show_access_token(request: Request) -> Response:
    """GET /users/{user_id}/OS-OAUTH1/access_tokens/{access_id}."""
    _expect_self(request)
    return Response(body={"access_token": _body(request.base_url, _need(request))})


async def delete_access_token(request: Request) -> Response:
    """DELETE /users/{user_id}/OS-OAUTH1/access_tokens/{access_id}."""
    _expect_self(request)
    params = request.params
    await request.cluster.propose(DeleteAccessToken(access_id=params["access_id"], user_id=params["user_id"]))
    return Response()


async def list_access_token_roles(request: Request) -> Response:
    """GET /users/{user_id}/OS-OAUTH1/access_tokens/{access_id}/roles."""
    _expect_self(request)
    view = request.cluster.view()
    roles = [view.need(Role, role_id) for role_id in _need(request).role_ids]
    entries = [views.role(request.base_url, role) for role in roles]
    return listed(request, "roles", entries, request.base_url + request.path)


async def show_access_token_role(request: Request) -> Response:
    """GET /users/{user_id}/OS-OAUTH1/access_tokens/{access_id}/roles/{role_id}."""
    _expect_self(request)
    role_id = request.params["role_id"]
    if role_id not in _need(request).role_ids:
        raise NotFound.of(Role.NOUN, role_id)
    return Response(body={"role": views.role(request.base_url, request.cluster.view().need(Role, role_id))})


def _expect_self(request: Request) -> None:
    caller = request.caller
    if caller.delegation is not None:
        raise Forbidden("Cannot list or change OAuth access with a token issued via delegation.")
    if not caller.is_admin and caller.user_id != request.params["user_id"]:
        raise Forbidden("You are not authorized to perform this: it is someone else's OAuth access.")


def _need(request: Request) -> AccessToken:
    access = request.cluster.view().get(AccessToken, request.params["access_id"])
    if access is None or access.user_id != request.params["user_id"]:
        raise NotFound.of(AccessToken.NOUN, request.params["access_id"])
    return access


def _body(base_url: str, access: AccessToken) -> dict[str, object]:
    own_url = views.link(base_url, "users", access.user_id, "OS-OAUTH1", "access_tokens", access.id)
    return {
        "id": access.id,
        "consumer_id": access.consumer_id,
        "project_id": access.project_id,
        "authorizing_user_id": access.user_id,
        "expires_at": zulu_micro(access.expires_ms),
        "links": {"self": own_url, "roles": own_url + "/roles"},
    }


_ALL = "/users/{user_id}/OS-OAUTH1/access_tokens"
_ONE = _ALL + "/{access_id}"

ROUTES = (
    Route(verb="GET", path=_ALL, handler=list_access_tokens, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=_ONE, handler=show_access_token, allow=Allow.ANY_TOKEN),
    Route(verb="DELETE", path=_ONE, handler=delete_access_token, allow=Allow.ANY_TOKEN, done=Done.EMPTY),
    Route(verb="GET", path=f"{_ONE}/roles", handler=list_access_token_roles, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=f"{_ONE}/roles/{{role_id}}", handler=show_access_token_role, allow=Allow.ANY_TOKEN),
)
