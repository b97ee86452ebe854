"""How does Keystone write a role assignment? Pure."""

from noded.core.store import View
from noded.identity import views
from noded.identity.model import Assignment, Domain, Project, Role, Scope, User


def assignment_body(
    view: View, base_url: str, assignment: Assignment, role: Role, prior: Role | None, *, names: bool
) -> dict[str, object]:
    """One assignment. `prior`: the assigned role that brings `role`, when it is an implied one."""
    user = view.need(User, assignment.user_id)
    assigned = prior or role
    place = {
        Scope.PROJECT: ("projects", assignment.target_id),
        Scope.DOMAIN: ("domains", assignment.target_id),
    }.get(assignment.scope, ("system",))
    links = {"assignment": views.link(base_url, *place, "users", user.id, "roles", assigned.id)}
    if prior is not None:
        links["prior_role"] = views.link(base_url, "prior_role", prior.id, "implies", role.id)
    user_part: dict[str, object] = {"id": user.id}
    role_part: dict[str, object] = {"id": role.id}
    if names:
        user_part |= {"name": user.name, "domain": _domain(view, user.domain_id)}
        role_part |= {"name": role.name}
    return {"links": links, "role": role_part, "user": user_part, "scope": _scope(view, assignment, names=names)}


def _scope(view: View, assignment: Assignment, *, names: bool) -> dict[str, object]:
    if assignment.scope is Scope.SYSTEM:
        return {"system": {"all": True}}
    if assignment.scope is Scope.DOMAIN:
        return {"domain": _domain(view, assignment.target_id) if names else {"id": assignment.target_id}}
    part: dict[str, object] = {"id": assignment.target_id}
    if names:
        project = view.need(Project, assignment.target_id)
        part |= {"name": project.name, "domain": _domain(view, project.domain_id)}
    return {"project": part}


def _domain(view: View, domain_id: str) -> dict[str, object]:
    return {"id": domain_id, "name": view.need(Domain, domain_id).name}
