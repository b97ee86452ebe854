"""What may a user do in a scope, now? Follows assignments and implied roles through one picture of the store. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from noded.core.errors import Unauthenticated
from noded.core.ids import DomainId, ProjectId
from noded.core.store import View
from noded.identity.model import Assignment, Domain, Project, Role, Scope, User, holding_of

_NO = "The request you have made requires authentication."


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A user, who may sign in, in a scope that exists, with all roles there (implied ones included)."""

    user: User
    user_domain: Domain
    scope: Scope
    project: Project | None = None
    domain: Domain | None = None  # the scope's domain, or the project's
    roles: tuple[Role, ...] = ()


def standing_of(view: View, user_id: str, scope: Scope, target_id: str) -> Standing:
    """The user's standing. Raises `Unauthenticated` when user, scope or all roles in it are gone or disabled."""
    user, user_domain = active_user(view, user_id)
    if scope is Scope.NONE:
        return Standing(user=user, user_domain=user_domain, scope=scope)
    project = None
    domain_id: str | None = target_id if scope is Scope.DOMAIN else None
    if scope is Scope.PROJECT:
        project = view.get(Project, target_id)
        if project is None or not project.enabled:
            raise Unauthenticated(_NO)
        domain_id = project.domain_id
    domain = None if domain_id is None else view.get(Domain, domain_id)
    if domain_id is not None and (domain is None or not domain.enabled):
        raise Unauthenticated(_NO)
    roles = roles_of(view, user_id, scope, target_id)
    if not roles:
        raise Unauthenticated(_NO)
    return Standing(user=user, user_domain=user_domain, scope=scope, project=project, domain=domain, roles=roles)


def active_user(view: View, user_id: str) -> tuple[User, Domain]:
    """The user and their domain, both enabled; raises `Unauthenticated`."""
    user = view.get(User, user_id)
    domain = view.get(Domain, user.domain_id) if user is not None else None
    if user is None or domain is None or not user.enabled or not domain.enabled:
        raise Unauthenticated(_NO)
    return user, domain


def roles_of(view: View, user_id: str, scope: Scope, target_id: str) -> tuple[Role, ...]:
    """Every role that the user holds there, directly or implied, ordered by name."""
    held = view.find(Assignment, "holding", holding_of(user_id, scope, target_id))
    return with_implied(view, (assignment.role_id for assignment in held))


def with_implied(view: View, role_ids: Iterable[str]) -> tuple[Role, ...]:
    """The roles and all that they imply, ordered by name."""
    found: dict[str, Role] = {}
    open_ids = list(role_ids)
    while open_ids:
        role = view.get(Role, open_ids.pop())
        if role is not None and role.id not in found:
            found[role.id] = role
            open_ids.extend(role.implies)
    return tuple(sorted(found.values(), key=lambda role: (role.name, role.id)))


def projects_of(view: View, user_id: str) -> list[Project]:
    """The enabled projects on which the user holds a role, ordered by name."""
    held = view.find(Assignment, "user_id", user_id)
    ids = {assignment.target_id for assignment in held if assignment.scope is Scope.PROJECT}
    projects = [project for id in ids if (project := view.get(Project, id)) is not None and project.enabled]
    return sorted(projects, key=lambda project: (project.name, project.id))


def domains_of(view: View, user_id: str) -> list[Domain]:
    """The enabled domains on which the user holds a role, ordered by name."""
    held = view.find(Assignment, "user_id", user_id)
    ids = {DomainId(assignment.target_id) for assignment in held if assignment.scope is Scope.DOMAIN}
    domains = [domain for id in ids if (domain := view.get(Domain, id)) is not None and domain.enabled]
    return sorted(domains, key=lambda domain: (domain.name, domain.id))


def by_name(view: View, name: str, domain_id: str) -> ProjectId | None:
    """The id of the domain's project of that name."""
    return next((each.id for each in view.find(Project, "name", name) if each.domain_id == domain_id), None)
