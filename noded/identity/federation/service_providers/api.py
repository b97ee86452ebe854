"""Answers /OS-FEDERATION/service_providers."""

from typing import Annotated

import msgspec

from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity.attributes import Text, Url
from noded.identity.federation.commands import CreateServiceProvider, DeleteServiceProvider, UpdateServiceProvider
from noded.identity.listing import chosen, listed
from noded.identity.providers import ServiceProvider
from noded.identity.views import link

_EXT = "OS-FEDERATION"
Prefix = Annotated[str, msgspec.Meta(max_length=255)]


class ProviderForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new service provider."""

    auth_url: Url
    sp_url: Url
    enabled: bool = False
    description: Text | None = None
    relay_state_prefix: Prefix | None = "ss:mem:"


class ProviderBody(msgspec.Struct, frozen=True):
    """`{"service_provider": {...}}`."""

    service_provider: ProviderForm


class ProviderChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different."""

    auth_url: Url | msgspec.UnsetType = msgspec.UNSET
    sp_url: Url | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    relay_state_prefix: Prefix | msgspec.UnsetType | None = msgspec.UNSET


class ProviderChangeBody(msgspec.Struct, frozen=True):
    """`{"service_provider": {...}}` of a change."""

    service_provider: ProviderChange


async def create_provider(request: Request) -> Response:
    """PUT /OS-FEDERATION/service_providers/{provider_id}."""
    form = (await request.json(ProviderBody)).service_provider
    provider_id = request.params["provider_id"]
    await request.cluster.propose(
        CreateServiceProvider(
            provider_id=provider_id,
            auth_url=form.auth_url,
            sp_url=form.sp_url,
            enabled=form.enabled,
            description=form.description,
            relay_state_prefix=form.relay_state_prefix,
        )
    )
    return _answer(request, provider_id)


async def list_providers(request: Request) -> Response:
    """GET /OS-FEDERATION/service_providers, by `id` and `enabled`."""
    entries = [_body(request.base_url, each) for each in request.cluster.view().all(ServiceProvider)]
    found = chosen(entries, request.query, ("id", "enabled"))
    return listed(request, "service_providers", found, link(request.base_url, _EXT, "service_providers"))


async def show_provider(request: Request) -> Response:
    """GET /OS-FEDERATION/service_providers/{provider_id}."""
    return _answer(request, request.params["provider_id"])


async def update_provider(request: Request) -> Response:
    """PATCH /OS-FEDERATION/service_providers/{provider_id}."""
    change = (await request.json(ProviderChangeBody)).service_provider
    provider_id = request.params["provider_id"]
    await request.cluster.propose(
        UpdateServiceProvider(
            provider_id=provider_id,
            auth_url=change.auth_url,
            sp_url=change.sp_url,
            enabled=change.enabled,
            description=change.description,
            relay_state_prefix=change.relay_state_prefix,
        )
    )
    return _answer(request, provider_id)


async def delete_provider(request: Request) -> Response:
    """DELETE /OS-FEDERATION/service_providers/{provider_id}."""
    await request.cluster.propose(DeleteServiceProvider(provider_id=request.params["provider_id"]))
    return Response()


def _body(base_url: str, provider: ServiceProvider) -> dict[str, object]:
    return {
        "id": provider.id,
        "auth_url": provider.auth_url,
        "sp_url": provider.sp_url,
        "enabled": provider.enabled,
        "description": provider.description,
        "relay_state_prefix": provider.relay_state_prefix,
        "links": {"self": link(base_url, _EXT, "service_providers", provider.id)},
    }


def _answer(request: Request, provider_id: str) -> Response:
    provider = request.cluster.view().need(ServiceProvider, provider_id)
    return Response(body={"service_provider": _body(request.base_url, provider)})


_ALL = f"/{_EXT}/service_providers"
_ONE = _ALL + "/{provider_id}"

ROUTES = (
    Route(verb="PUT", path=_ONE, handler=create_provider, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_ALL, handler=list_providers, allow=Allow.OVERSEER),
    Route(verb="GET", path=_ONE, handler=show_provider, allow=Allow.OVERSEER),
    Route(verb="PATCH", path=_ONE, handler=update_provider, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_provider, allow=Allow.ADMIN, done=Done.EMPTY),
)
