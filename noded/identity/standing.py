"""What may a user do in a scope, now? Follows assignments and implied roles through one picture of the store. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from noded.core.errors import Unauthenticated
from noded.core.ids import DomainId, ProjectId
from noded.core.store import View
from noded.identity.delegations import Delegated
from noded.identity.model import SYSTEM_ID, Assignment, Domain, Membership, Project, Role, Scope, User, holding_of
from noded.identity.providers import Vouched

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
    through: Delegated | None = None  # what it came to be through, when the user does not act for themselves
    vouched: Vouched | None = None  # who vouched for the user


def standing_of(view: View, user_id: str, scope: Scope, target_id: str, vouched: Vouched | None = None) -> Standing:
    """The user's standing. Raises `Unauthenticated` when user, scope or all roles in it are gone or disabled."""
    user, user_domain = active_user(view, user_id)
    if scope is Scope.NONE:
        return Standing(user=user, user_domain=user_domain, scope=scope, vouched=vouched)
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
    roles = roles_of(view, user_id, scope, target_id, () if vouched is None else vouched.group_ids)
    if not roles:
        raise Unauthenticated(_NO)
    return Standing(
        user=user,
        user_domain=user_domain,
        scope=scope,
        project=project,
        domain=domain,
        roles=roles,
        vouched=vouched,
    )


def active_user(view: View, user_id: str) -> tuple[User, Domain]:
    """The user and their domain, both enabled; raises `Unauthenticated`."""
    user = view.get(User, user_id)
    domain = view.get(Domain, user.domain_id) if user is not None else None
    if user is None or domain is None or not user.enabled or not domain.enabled:
        raise Unauthenticated(_NO)
    return user, domain


def roles_of(
    view: View, user_id: str, scope: Scope, target_id: str, group_ids: tuple[str, ...] = ()
) -> tuple[Role, ...]:
    """Every role that the user holds there: own or a group's, given there or above, implied too; ordered by name.

    `group_ids`: groups that they are in beside those that the store knows of.

    A role of a domain is only a bundle: what it implies counts, and not the role itself.
    """
    held = held_at(view, actors_of(view, user_id, group_ids), scope, target_id)
    roles = with_implied(view, (assignment.role_id for assignment in held))
    return tuple(role for role in roles if role.domain_id is None)


def actors_of(view: View, user_id: str, group_ids: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The user, and every group that they are in."""
    known = (user_id, *(each.group_id for each in view.find(Membership, "user_id", user_id)))
    return (*known, *(id for id in group_ids if id not in known)) if group_ids else known


def held_at(view: View, actor_ids: Iterable[str], scope: Scope, target_id: str) -> list[Assignment]:
    """What the actors hold there: assigned to the very target, or inherited from above it."""
    places = [(scope, target_id, False)]
    if scope is Scope.PROJECT:
        places += [(above, id, True) for above, id in above_project(view, target_id)]
    return [
        assignment
        for actor_id in actor_ids
        for place, id, inherited in places
        for assignment in view.find(Assignment, "holding", holding_of(actor_id, place, id, inherited=inherited))
    ]


def above_project(view: View, project_id: str) -> list[tuple[Scope, str]]:
    """The projects above a project, the nearest first, and its domain last."""
    project = view.get(Project, project_id)
    if project is None:
        return []
    above: list[tuple[Scope, str]] = [(Scope.PROJECT, parent.id) for parent in parents_of(view, project)]
    return [*above, (Scope.DOMAIN, project.domain_id)]


def parents_of(view: View, project: Project) -> list[Project]:
    """The projects above it, the nearest first."""
    found: list[Project] = []
    while project.parent_id is not None:
        parent = view.get(Project, project.parent_id)
        if parent is None:
            break
        found.append(parent)
        project = parent
    return found


def below_project(view: View, project_id: str) -> list[Project]:
    """Every project below it, the nearest first."""
    found: list[Project] = []
    level: list[str] = [project_id]
    while level:
        below = [project for id in level for project in view.find(Project, "parent_id", id)]
        found += below
        level = [project.id for project in below]
    return found


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


def projects_of(view: View, user_id: str, group_ids: tuple[str, ...] = ()) -> list[Project]:
    """The enabled projects on which the user holds a role, ordered by name."""
    found: dict[str, Project] = {}
    for assignment in _held_anywhere(view, user_id, group_ids):
        for project in reached(view, assignment):
            found[project.id] = project
    usable = [project for project in found.values() if project.enabled and _is_enabled(view, project.domain_id)]
    return sorted(usable, key=lambda project: (project.name, project.id))


def reached(view: View, assignment: Assignment) -> list[Project]:
    """The projects for which an assignment holds."""
    if not assignment.inherited:
        project = view.get(Project, assignment.target_id) if assignment.scope is Scope.PROJECT else None
        return [] if project is None else [project]
    if assignment.scope is Scope.DOMAIN:
        return view.find(Project, "domain_id", assignment.target_id)
    return below_project(view, assignment.target_id)


def domains_of(view: View, user_id: str, group_ids: tuple[str, ...] = ()) -> list[Domain]:
    """The enabled domains on which the user holds a role, ordered by name."""
    ids = {
        DomainId(assignment.target_id)
        for assignment in _held_anywhere(view, user_id, group_ids)
        if assignment.scope is Scope.DOMAIN and not assignment.inherited
    }
    domains = [domain for id in ids if (domain := view.get(Domain, id)) is not None and domain.enabled]
    return sorted(domains, key=lambda domain: (domain.name, domain.id))


def is_of_system(view: View, user_id: str, group_ids: tuple[str, ...] = ()) -> bool:
    """Whether the user holds any role on the system."""
    return bool(roles_of(view, user_id, Scope.SYSTEM, SYSTEM_ID, group_ids))


def _held_anywhere(view: View, user_id: str, group_ids: tuple[str, ...]) -> list[Assignment]:
    return [
        each for actor_id in actors_of(view, user_id, group_ids) for each in view.find(Assignment, "actor_id", actor_id)
    ]


def _is_enabled(view: View, domain_id: str) -> bool:
    domain = view.get(Domain, domain_id)
    return domain is not None and domain.enabled


def by_name(view: View, name: str, domain_id: str) -> ProjectId | None:
    """The id of the domain's project of that name."""
    return next((each.id for each in view.find(Project, "name", name) if each.domain_id == domain_id), None)
