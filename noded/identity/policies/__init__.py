"""Policies (Identity API v3, /policies and OS-ENDPOINT-POLICY): texts that services elsewhere fetch."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY
from noded.identity.policies.api import ROUTES
from noded.identity.policies.commands import CreatePolicy, DeletePolicy, LinkPolicy, UnlinkPolicy, UpdatePolicy
from noded.identity.policies.model import Policy, PolicyLink

SERVICE = Service(
    name="noded.identity.policies",
    endpoint=IDENTITY,
    records=(Policy, PolicyLink),
    commands=(CreatePolicy, UpdatePolicy, DeletePolicy, LinkPolicy, UnlinkPolicy),
    routes=ROUTES,
)
