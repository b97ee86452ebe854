"""What of identity goes along with a project? Pure. Whoever deletes it, or the domain that it is in, says it once."""

from msgspec.structs import replace

from noded.core.store import Transaction
from noded.identity.application_credentials.commands import forget_project as forget_application_credentials
from noded.identity.credentials.commands import forget_project as forget_credentials
from noded.identity.endpoint_filters.commands import forget_project as forget_filters
from noded.identity.grants.commands import forget_target
from noded.identity.limits.commands import forget_project as forget_limits
from noded.identity.model import Project, User
from noded.identity.oauth1.commands import forget_project as forget_oauth
from noded.identity.trusts.commands import forget_project as forget_trusts


def remove_project(tx: Transaction, project: Project) -> None:
    """The project, and everything in identity that is about it alone."""
    forget_target(tx, project.id)
    forget_filters(tx, project.id)
    forget_credentials(tx, project.id)
    forget_limits(tx, project.id)
    forget_application_credentials(tx, project.id)
    forget_trusts(tx, project.id)
    forget_oauth(tx, project.id)
    for user in tx.find(User, "default_project_id", project.id):
        tx.put(replace(user, default_project_id=None))
    tx.delete(Project, project.id)
