"""How tokens of identity providers are checked (OpenID Connect): /noded/v1/identity-providers/{provider_id}/oidc."""

from consensus.endpoint import NODED
from noded.core.service import Service
from noded.identity.oidc.api import ROUTES
from noded.identity.oidc.commands import DeleteOidcSettings, SetOidcSettings
from noded.identity.providers import OidcSettings

SERVICE = Service(
    name="noded.identity.oidc",
    endpoint=NODED,
    records=(OidcSettings,),
    commands=(SetOidcSettings, DeleteOidcSettings),
    routes=ROUTES,
)
