"""Role assignments (Identity API v3): who holds which role on a project, a domain, or the system."""

from noded.core.command import Command
from noded.core.service import Founding, Service
from noded.identity.endpoint import IDENTITY
from noded.identity.founding import ADMIN, admin_user_id, role_id
from noded.identity.grants.api import ROUTES
from noded.identity.grants.commands import GrantGroupRole, GrantRole, RevokeGroupRole, RevokeRole
from noded.identity.model import DEFAULT_DOMAIN, SYSTEM_ID, Assignment, Scope


def _found(founding: Founding) -> list[Command]:
    """The first user administers the admin project, the default domain and the system."""
    places = (
        (Scope.PROJECT, str(founding.admin_project_id)),
        (Scope.DOMAIN, str(DEFAULT_DOMAIN)),
        (Scope.SYSTEM, SYSTEM_ID),
    )
    return [
        GrantRole(
            user_id=admin_user_id(founding),
            scope=scope,
            target_id=target_id,
            role_id=role_id(founding, ADMIN),
        )
        for scope, target_id in places
    ]


SERVICE = Service(
    name="noded.identity.grants",
    endpoint=IDENTITY,
    records=(Assignment,),
    commands=(GrantRole, RevokeRole, GrantGroupRole, RevokeGroupRole),
    routes=ROUTES,
    founding=_found,
)
