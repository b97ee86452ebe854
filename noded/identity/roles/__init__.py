"""Roles (Identity API v3, /roles): the words that policy asks for, and which of them bring others."""

from noded.core.command import Command
from noded.core.service import Founding, Service
from noded.identity.endpoint import IDENTITY
from noded.identity.founding import LADDER, SERVICE_ROLE, role_id
from noded.identity.model import Role
from noded.identity.roles.api import ROUTES
from noded.identity.roles.commands import CreateRole, DeleteRole, ImplyRole, StopImplyingRole, UpdateRole


def _found(founding: Founding) -> list[Command]:
    """The ladder from the lowest up, so that what a role implies is there before it."""
    fixed = {"immutable": True}  # policy asks for them by name: nobody shall delete or rename one by mistake
    ladder: list[Command] = []
    below: str | None = None
    for name in reversed(LADDER):
        implies = () if below is None else (role_id(founding, below),)
        ladder.append(CreateRole(role_id=role_id(founding, name), name=name, implies=implies, options=fixed))
        below = name
    return [*ladder, CreateRole(role_id=role_id(founding, SERVICE_ROLE), name=SERVICE_ROLE, options=fixed)]


SERVICE = Service(
    name="noded.identity.roles",
    endpoint=IDENTITY,
    records=(Role,),
    commands=(CreateRole, UpdateRole, DeleteRole, ImplyRole, StopImplyingRole),
    routes=ROUTES,
    founding=_found,
)
