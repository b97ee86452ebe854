"""Answers /OS-OAUTH1: consumers, and their way to an access token: ask, be authorized, fetch it."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec

from noded.core.clock import now_ms
from noded.core.dice import new_hex_id, new_password
from noded.core.errors import Forbidden, Invalid, Unauthenticated
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.times import zulu_micro
from noded.gateway.freshness import freshest_view
from noded.identity.attributes import Text, read
from noded.identity.listing import listed
from noded.identity.model import Project
from noded.identity.naming import RoleRef, named_roles
from noded.identity.oauth1.commands import (
    AuthorizeRequestToken,
    CreateAccessToken,
    CreateConsumer,
    CreateRequestToken,
    DeleteConsumer,
    UpdateConsumer,
)
from noded.identity.oauth1.model import Consumer, RequestToken, expect_signed, needed, read_header
from noded.identity.views import link

REQUEST_LIFE_MS: Final = 8 * 3_600_000  # as Keystone's defaults
ACCESS_LIFE_MS: Final = 24 * 3_600_000
_EXT: Final = "OS-OAUTH1"
_URLENCODED: Final = "application/x-www-form-urlencoded"


class ConsumerBody(msgspec.Struct, frozen=True):
    """`{"consumer": {...}}`."""

    consumer: dict[str, Any]


class ConsumerForm(msgspec.Struct, frozen=True):
    """A new consumer."""

    description: Text | None = None


class ConsumerChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    description: Text | msgspec.UnsetType | None = msgspec.UNSET


class AuthorizeBody(msgspec.Struct, frozen=True):
    """The roles that the consumer shall have."""

    roles: Annotated[tuple[RoleRef, ...], msgspec.Meta(min_length=1, max_length=256)]


async def create_consumer(request: Request) -> Response:
    """POST /OS-OAUTH1/consumers: only this answer holds the secret."""
    form, extra = read((await request.json(ConsumerBody)).consumer, ConsumerForm)
    consumer_id, secret = new_hex_id(), new_hex_id()
    extra.pop("secret", None)
    await request.cluster.propose(
        CreateConsumer(consumer_id=consumer_id, secret=secret, description=form.description, extra=extra)
    )
    body = _body(request.base_url, request.cluster.view().need(Consumer, consumer_id))
    return Response(body={"consumer": {**body, "secret": secret}})


async def list_consumers(request: Request) -> Response:
    """GET /OS-OAUTH1/consumers."""
    entries = [_body(request.base_url, consumer) for consumer in request.cluster.view().all(Consumer)]
    return listed(request, "consumers", entries, link(request.base_url, _EXT, "consumers"))


async def show_consumer(request: Request) -> Response:
    """GET /OS-OAUTH1/consumers/{consumer_id}."""
    return _answer(request)


async def update_consumer(request: Request) -> Response:
    """PATCH /OS-OAUTH1/consumers/{consumer_id}."""
    attributes = (await request.json(ConsumerBody)).consumer
    if "secret" in attributes:
        raise Invalid("Consumer secret cannot be updated.")
    change, extra = read(attributes, ConsumerChange)
    await request.cluster.propose(
        UpdateConsumer(consumer_id=request.params["consumer_id"], description=change.description, extra=extra)
    )
    return _answer(request)


async def delete_consumer(request: Request) -> Response:
    """DELETE /OS-OAUTH1/consumers/{consumer_id}."""
    await request.cluster.propose(DeleteConsumer(consumer_id=request.params["consumer_id"]))
    return Response()


async def create_request_token(request: Request) -> Response:
    """POST /OS-OAUTH1/request_token: a consumer, by its signature, asks for a project."""
    parameters = read_header(request.headers)
    consumer_id = needed(parameters, "oauth_consumer_key")
    project_id = request.headers.get("requested-project-id", "")
    if not project_id:
        raise Invalid("The header Requested-Project-Id is missing: it names the project that is asked for.")
    view = await freshest_view(request.cluster)
    consumer = view.get(Consumer, consumer_id)
    if consumer is None:
        raise Unauthenticated("The OAuth signature is not right.")
    expect_signed(parameters, request.verb, request.base_url + request.path, (), (consumer.secret, ""))
    view.need(Project, project_id)
    request_id, secret, now = new_hex_id(), new_hex_id(), now_ms()
    await request.cluster.propose(
        CreateRequestToken(
            request_id=request_id,
            consumer_id=consumer.id,
            project_id=project_id,
            secret=secret,
            expires_ms=now + REQUEST_LIFE_MS,
            now_ms=now,
        )
    )
    return _pair(request_id, secret, now + REQUEST_LIFE_MS)


async def authorize(request: Request) -> Response:
    """PUT /OS-OAUTH1/authorize/{request_id}: a user lets the consumer have roles of theirs."""
    if request.caller.delegation is not None:
        raise Forbidden("Cannot authorize a request token with a token issued via delegation.")
    roles = (await request.json(AuthorizeBody)).roles
    view = request.cluster.view()
    asked = view.need(RequestToken, request.params["request_id"])
    if asked.expires_ms <= now_ms():
        raise Unauthenticated("Request token is expired.")
    verifier = new_password()[:12]
    await request.cluster.propose(
        AuthorizeRequestToken(
            request_id=asked.id,
            user_id=request.caller.user_id,
            verifier=verifier,
            role_ids=tuple(dict.fromkeys(role.id for role in named_roles(view, roles))),
        )
    )
    return Response(body={"token": {"oauth_verifier": verifier}})


async def create_access_token(request: Request) -> Response:
    """POST /OS-OAUTH1/access_token: the consumer fetches what it was authorized for."""
    parameters = read_header(request.headers)
    verifier = needed(parameters, "oauth_verifier")
    view = await freshest_view(request.cluster)
    asked = view.get(RequestToken, needed(parameters, "oauth_token"))
    consumer = view.get(Consumer, needed(parameters, "oauth_consumer_key"))
    if asked is None or consumer is None or asked.consumer_id != consumer.id:
        raise Unauthenticated("The OAuth signature is not right.")
    if asked.expires_ms <= now_ms():
        raise Unauthenticated("Request token is expired.")
    url = request.base_url + request.path
    expect_signed(parameters, request.verb, url, (), (consumer.secret, asked.secret))
    access_id, secret, expires_ms = new_hex_id(), new_hex_id(), now_ms() + ACCESS_LIFE_MS
    await request.cluster.propose(
        CreateAccessToken(
            request_id=asked.id, access_id=access_id, secret=secret, verifier=verifier, expires_ms=expires_ms
        )
    )
    return _pair(access_id, secret, expires_ms)


def _pair(token_id: str, secret: str, expires_ms: int) -> Response:
    fields = {"oauth_token": token_id, "oauth_token_secret": secret, "oauth_expires_at": zulu_micro(expires_ms)}
    return Response(content=urlencode(fields, safe=":").encode(), content_type=_URLENCODED)


def _body(base_url: str, consumer: Consumer) -> dict[str, object]:
    return {
        **consumer.extra,
        "id": consumer.id,
        "description": consumer.description,
        "links": {"self": link(base_url, _EXT, "consumers", consumer.id)},
    }


def _answer(request: Request) -> Response:
    consumer = request.cluster.view().need(Consumer, request.params["consumer_id"])
    return Response(body={"consumer": _body(request.base_url, consumer)})


_ALL = f"/{_EXT}/consumers"
_ONE = _ALL + "/{consumer_id}"

ROUTES = (
    Route(verb="POST", path=_ALL, handler=create_consumer, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_ALL, handler=list_consumers, allow=Allow.OVERSEER),
    Route(verb="GET", path=_ONE, handler=show_consumer, allow=Allow.OVERSEER),
    Route(verb="PATCH", path=_ONE, handler=update_consumer, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_consumer, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(
        verb="POST",
        path=f"/{_EXT}/request_token",
        handler=create_request_token,
        allow=Allow.ANYONE,
        done=Done.CREATED,
        body_max=4096,
    ),
    Route(
        verb="POST",
        path=f"/{_EXT}/access_token",
        handler=create_access_token,
        allow=Allow.ANYONE,
        done=Done.CREATED,
        body_max=4096,
    ),
    Route(verb="PUT", path=f"/{_EXT}/authorize/{{request_id}}", handler=authorize, allow=Allow.ANY_TOKEN),
)
