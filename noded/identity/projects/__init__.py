"""Projects (Identity API v3, /projects): what owns every resource of the cloud."""

from noded.core.command import Command
from noded.core.service import Founding, Service
from noded.identity.endpoint import IDENTITY
from noded.identity.model import DEFAULT_DOMAIN, Project
from noded.identity.projects.api import ROUTES
from noded.identity.projects.commands import CreateProject, DeleteProject, UpdateProject


def _found(founding: Founding) -> list[Command]:
    return [
        CreateProject(
            project_id=founding.admin_project_id,
            domain_id=DEFAULT_DOMAIN,
            name="admin",
            description="The cloud's administrators",
        )
    ]


SERVICE = Service(
    name="noded.identity.projects",
    endpoint=IDENTITY,
    records=(Project,),
    commands=(CreateProject, UpdateProject, DeleteProject),
    routes=ROUTES,
    founding=_found,
)
