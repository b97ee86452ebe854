"""Answers /noded/v1/identity-providers/{provider_id}/oidc."""

import ssl

import msgspec

from noded.core.errors import Invalid
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity.oidc.commands import DeleteOidcSettings, SetOidcSettings
from noded.identity.oidc.model import OidcForm, expect_sense
from noded.identity.providers import OidcSettings


class OidcBody(msgspec.Struct, frozen=True):
    """`{"oidc": {...}}`."""

    oidc: OidcForm


async def show_settings(request: Request) -> Response:
    """GET /noded/v1/identity-providers/{provider_id}/oidc; the secret is not told again."""
    return _answer(request)


async def set_settings(request: Request) -> Response:
    """PUT /noded/v1/identity-providers/{provider_id}/oidc; what is left out is as at the start."""
    form = (await request.json(OidcBody)).oidc
    expect_sense(form)
    if form.ca_pem:
        _expect_certificates(form.ca_pem)
    await request.cluster.propose(SetOidcSettings(provider_id=request.params["provider_id"], settings=form))
    return _answer(request)


async def delete_settings(request: Request) -> Response:
    """DELETE /noded/v1/identity-providers/{provider_id}/oidc."""
    await request.cluster.propose(DeleteOidcSettings(provider_id=request.params["provider_id"]))
    return Response()


def _expect_certificates(pem: str) -> None:
    try:
        ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, TypeError, ValueError) as wrong:
        raise Invalid(f"ca_pem holds no certificates in PEM: {wrong}.") from None


def _answer(request: Request) -> Response:
    settings = request.cluster.view().need(OidcSettings, request.params["provider_id"])
    told = {name: getattr(settings, name) for name in OidcForm.__struct_fields__ if name != "client_secret"}
    return Response(body={"oidc": {**told, "has_client_secret": bool(settings.client_secret)}})


_PATH = "/identity-providers/{provider_id}/oidc"

ROUTES = (
    Route(verb="GET", path=_PATH, handler=show_settings, allow=Allow.ADMIN),
    Route(verb="PUT", path=_PATH, handler=set_settings, allow=Allow.ADMIN, body_max=128 * 1024),
    Route(verb="DELETE", path=_PATH, handler=delete_settings, allow=Allow.ADMIN, done=Done.EMPTY),
)
