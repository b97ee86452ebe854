"""Domains (Identity API v3, /domains): name spaces of users and projects."""

from noded.core.command import Command
from noded.core.service import Founding, Service
from noded.identity.domains.api import ROUTES
from noded.identity.domains.commands import CreateDomain, DeleteDomain, UpdateDomain
from noded.identity.endpoint import IDENTITY
from noded.identity.model import DEFAULT_DOMAIN, Domain


def _found(founding: Founding) -> list[Command]:  # noqa: ARG001  # this domain is the same in every cloud
    return [CreateDomain(domain_id=DEFAULT_DOMAIN, name="Default", description="The default domain")]


SERVICE = Service(
    name="noded.identity.domains",
    endpoint=IDENTITY,
    records=(Domain,),
    commands=(CreateDomain, UpdateDomain, DeleteDomain),
    routes=ROUTES,
    founding=_found,
)
