"""Answers /OS-FEDERATION/identity_providers and the protocols below them."""

from typing import Annotated

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden
from noded.core.ids import DomainId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity.attributes import Id, Text
from noded.identity.domains.commands import CreateDomain
from noded.identity.federation.commands import (
    CreateProtocol,
    CreateProvider,
    DeleteProtocol,
    DeleteProvider,
    UpdateProtocol,
    UpdateProvider,
)
from noded.identity.listing import chosen, listed
from noded.identity.providers import IdentityProvider, Protocol, protocol_key
from noded.identity.views import link

_EXT = "OS-FEDERATION"
RemoteId = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Minutes = Annotated[int, msgspec.Meta(ge=0, le=0x7FFF_FFFF)]


class ProviderForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new identity provider. Without a domain one is made for its users."""

    enabled: bool = False
    description: Text | None = None
    remote_ids: Annotated[tuple[RemoteId, ...], msgspec.Meta(max_length=256)] | None = None
    authorization_ttl: Minutes | None = None
    domain_id: Id | None = None


class ProviderBody(msgspec.Struct, frozen=True):
    """`{"identity_provider": {...}}`."""

    identity_provider: ProviderForm


class ProviderChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different."""

    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    remote_ids: Annotated[tuple[RemoteId, ...], msgspec.Meta(max_length=256)] | msgspec.UnsetType | None = msgspec.UNSET
    authorization_ttl: Minutes | msgspec.UnsetType | None = msgspec.UNSET


class ProviderChangeBody(msgspec.Struct, frozen=True):
    """`{"identity_provider": {...}}` of a change."""

    identity_provider: ProviderChange


class ProtocolForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new protocol."""

    mapping_id: Id
    remote_id_attribute: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class ProtocolBody(msgspec.Struct, frozen=True):
    """`{"protocol": {...}}`."""

    protocol: ProtocolForm


class ProtocolChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different."""

    mapping_id: Id | msgspec.UnsetType = msgspec.UNSET
    remote_id_attribute: Annotated[str, msgspec.Meta(max_length=64)] | msgspec.UnsetType | None = msgspec.UNSET


class ProtocolChangeBody(msgspec.Struct, frozen=True):
    """`{"protocol": {...}}` of a change."""

    protocol: ProtocolChange


async def create_provider(request: Request) -> Response:
    """PUT /OS-FEDERATION/identity_providers/{provider_id}; a domain for its users is made with it."""
    form = (await request.json(ProviderBody)).identity_provider
    provider_id = request.params["provider_id"]
    domain_id = form.domain_id or new_hex_id()
    create = CreateProvider(
        provider_id=provider_id,
        domain_id=domain_id,
        enabled=form.enabled,
        description=form.description,
        remote_ids=form.remote_ids or (),
        authorization_ttl=form.authorization_ttl,
    )
    if form.domain_id is None:
        told = f"Auto generated federated domain for Identity Provider: {provider_id}"
        domain = CreateDomain(domain_id=DomainId(domain_id), name=domain_id, description=told)
        await request.cluster.propose(domain, create)
    else:
        await request.cluster.propose(create)
    return _answer(request, provider_id)


async def list_providers(request: Request) -> Response:
    """GET /OS-FEDERATION/identity_providers, by `id` and `enabled`."""
    entries = [_body(request.base_url, each) for each in request.cluster.view().all(IdentityProvider)]
    found = chosen(entries, request.query, ("id", "enabled"))
    return listed(request, "identity_providers", found, link(request.base_url, _EXT, "identity_providers"))


async def show_provider(request: Request) -> Response:
    """GET /OS-FEDERATION/identity_providers/{provider_id}."""
    return _answer(request, request.params["provider_id"])


async def update_provider(request: Request) -> Response:
    """PATCH /OS-FEDERATION/identity_providers/{provider_id}."""
    change = (await request.json(ProviderChangeBody)).identity_provider
    provider_id = request.params["provider_id"]
    await request.cluster.propose(
        UpdateProvider(
            provider_id=provider_id,
            enabled=change.enabled,
            description=change.description,
            remote_ids=() if change.remote_ids is None else change.remote_ids,
            authorization_ttl=change.authorization_ttl,
        )
    )
    return _answer(request, provider_id)


async def delete_provider(request: Request) -> Response:
    """DELETE /OS-FEDERATION/identity_providers/{provider_id}."""
    await request.cluster.propose(DeleteProvider(provider_id=request.params["provider_id"]))
    return Response()


async def create_protocol(request: Request) -> Response:
    """PUT /OS-FEDERATION/identity_providers/{provider_id}/protocols/{protocol_id}."""
    form = (await request.json(ProtocolBody)).protocol
    params = request.params
    if "/" in params["protocol_id"]:
        raise Forbidden("A protocol's id can't hold a slash.")
    await request.cluster.propose(
        CreateProtocol(
            provider_id=params["provider_id"],
            name=params["protocol_id"],
            mapping_id=form.mapping_id,
            remote_id_attribute=form.remote_id_attribute,
        )
    )
    return _protocol_answer(request)


async def list_protocols(request: Request) -> Response:
    """GET /OS-FEDERATION/identity_providers/{provider_id}/protocols."""
    view = request.cluster.view()
    provider = view.need(IdentityProvider, request.params["provider_id"])
    found = view.find(Protocol, "provider_id", provider.id)
    entries = [_protocol_body(request.base_url, protocol) for protocol in found]
    return listed(request, "protocols", entries, request.base_url + request.path)


async def show_protocol(request: Request) -> Response:
    """GET /OS-FEDERATION/identity_providers/{provider_id}/protocols/{protocol_id}."""
    return _protocol_answer(request)


async def update_protocol(request: Request) -> Response:
    """PATCH /OS-FEDERATION/identity_providers/{provider_id}/protocols/{protocol_id}."""
    change = (await request.json(ProtocolChangeBody)).protocol
    params = request.params
    await request.cluster.propose(
        UpdateProtocol(
            provider_id=params["provider_id"],
            name=params["protocol_id"],
            mapping_id=change.mapping_id,
            remote_id_attribute=change.remote_id_attribute,
        )
    )
    return _protocol_answer(request)


async def delete_protocol(request: Request) -> Response:
    """DELETE /OS-FEDERATION/identity_providers/{provider_id}/protocols/{protocol_id}."""
    params = request.params
    await request.cluster.propose(DeleteProtocol(provider_id=params["provider_id"], name=params["protocol_id"]))
    return Response()


def _body(base_url: str, provider: IdentityProvider) -> dict[str, object]:
    own_url = link(base_url, _EXT, "identity_providers", provider.id)
    return {
        "id": provider.id,
        "domain_id": provider.domain_id,
        "enabled": provider.enabled,
        "description": provider.description,
        "remote_ids": list(provider.remote_ids),
        "authorization_ttl": provider.authorization_ttl,
        "links": {"self": own_url, "protocols": own_url + "/protocols"},
    }


def _protocol_body(base_url: str, protocol: Protocol) -> dict[str, object]:
    provider_url = link(base_url, _EXT, "identity_providers", protocol.provider_id)
    return {
        "id": protocol.name,
        "mapping_id": protocol.mapping_id,
        "remote_id_attribute": protocol.remote_id_attribute,
        "links": {"self": f"{provider_url}/protocols/{protocol.name}", "identity_provider": provider_url},
    }


def _answer(request: Request, provider_id: str) -> Response:
    provider = request.cluster.view().need(IdentityProvider, provider_id)
    return Response(body={"identity_provider": _body(request.base_url, provider)})


def _protocol_answer(request: Request) -> Response:
    key = protocol_key(request.params["provider_id"], request.params["protocol_id"])
    protocol = request.cluster.view().need(Protocol, key)
    return Response(body={"protocol": _protocol_body(request.base_url, protocol)})


_ALL = f"/{_EXT}/identity_providers"
_ONE = _ALL + "/{provider_id}"
_PROTOCOLS = _ONE + "/protocols"
_PROTOCOL = _PROTOCOLS + "/{protocol_id}"

ROUTES = (
    Route(verb="PUT", path=_ONE, handler=create_provider, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_ALL, handler=list_providers, allow=Allow.OVERSEER),
    Route(verb="GET", path=_ONE, handler=show_provider, allow=Allow.OVERSEER),
    Route(verb="PATCH", path=_ONE, handler=update_provider, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_provider, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(verb="PUT", path=_PROTOCOL, handler=create_protocol, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_PROTOCOLS, handler=list_protocols, allow=Allow.OVERSEER),
    Route(verb="GET", path=_PROTOCOL, handler=show_protocol, allow=Allow.OVERSEER),
    Route(verb="PATCH", path=_PROTOCOL, handler=update_protocol, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_PROTOCOL, handler=delete_protocol, allow=Allow.ADMIN, done=Done.EMPTY),
)
