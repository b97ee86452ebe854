"""Trusts (Identity API v3, OS-TRUST): a user lets another one act with some of their roles, maybe in their name."""

from noded.core.service import Service
from noded.identity.delegations import Trust
from noded.identity.endpoint import IDENTITY
from noded.identity.trusts.api import ROUTES
from noded.identity.trusts.commands import CreateTrust, DeleteTrust, UseTrust

SERVICE = Service(
    name="noded.identity.trusts",
    endpoint=IDENTITY,
    records=(Trust,),
    commands=(CreateTrust, UseTrust, DeleteTrust),
    routes=ROUTES,
)
