"""Limits (Identity API v3, /registered_limits and /limits): how much of what a project may have."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY
from noded.identity.limits.api import ROUTES
from noded.identity.limits.commands import (
    CreateLimits,
    CreateRegisteredLimits,
    DeleteLimit,
    DeleteRegisteredLimit,
    UpdateLimit,
    UpdateRegisteredLimit,
)
from noded.identity.limits.model import Limit, RegisteredLimit
from noded.identity.limits.registered.api import ROUTES as REGISTERED_ROUTES

SERVICE = Service(
    name="noded.identity.limits",
    endpoint=IDENTITY,
    records=(RegisteredLimit, Limit),
    commands=(
        CreateRegisteredLimits,
        UpdateRegisteredLimit,
        DeleteRegisteredLimit,
        CreateLimits,
        UpdateLimit,
        DeleteLimit,
    ),
    routes=(*REGISTERED_ROUTES, *ROUTES),
)
