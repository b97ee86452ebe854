"""Application credentials and access rules (Identity API v3): what a user gives a program instead of a password."""

from noded.core.service import Service
from noded.identity.application_credentials.access_rules.api import ROUTES as RULE_ROUTES
from noded.identity.application_credentials.api import ROUTES
from noded.identity.application_credentials.commands import (
    CreateApplicationCredential,
    DeleteAccessRule,
    DeleteApplicationCredential,
)
from noded.identity.delegations import ApplicationCredential, StoredRule
from noded.identity.endpoint import IDENTITY

SERVICE = Service(
    name="noded.identity.application_credentials",
    endpoint=IDENTITY,
    records=(ApplicationCredential, StoredRule),
    commands=(CreateApplicationCredential, DeleteApplicationCredential, DeleteAccessRule),
    routes=(*ROUTES, *RULE_ROUTES),
)
