"""How does Keystone write a role assignment? Pure."""

from noded.core.store import View
from noded.identity import views
from noded.identity.grants.effective import Held
from noded.identity.model import Actor, Assignment, Domain, Group, Project, Scope, User


def assignment_body(view: View, base_url: str, held: Held, *, names: bool) -> dict[str, object]:
    """One assignment."""
    source = held.source
    links = {"assignment": _assignment_link(base_url, source)}
    if held.prior is not None:
        links["prior_role"] = views.link(base_url, "prior_role", held.prior.id, "implies", held.role.id)
    if source.actor is Actor.GROUP and held.actor is Actor.USER:
        links["membership"] = views.link(base_url, "groups", source.actor_id, "users", held.actor_id)
    role: dict[str, object] = {"id": held.role.id}
    if names:
        role["name"] = held.role.name
        if held.role.domain_id is not None:
            role["domain"] = _domain(view, held.role.domain_id)
    return {
        "links": links,
        "role": role,
        held.actor.value: _actor(view, held, names=names),
        "scope": _scope(view, held, names=names),
    }


def _assignment_link(base_url: str, source: Assignment) -> str:
    place = {
        Scope.PROJECT: ("projects", source.target_id),
        Scope.DOMAIN: ("domains", source.target_id),
    }.get(source.scope, ("system",))
    parts = (*place, f"{source.actor.value}s", source.actor_id, "roles", source.role_id)
    if source.inherited:
        return views.link(base_url, "OS-INHERIT", *parts, "inherited_to_projects")
    return views.link(base_url, *parts)


def _actor(view: View, held: Held, *, names: bool) -> dict[str, object]:
    if not names:
        return {"id": held.actor_id}
    actor = view.need(User if held.actor is Actor.USER else Group, held.actor_id)
    assert isinstance(actor, User | Group), actor
    return {"id": actor.id, "name": actor.name, "domain": _domain(view, actor.domain_id)}


def _scope(view: View, held: Held, *, names: bool) -> dict[str, object]:
    scope: dict[str, object]
    if held.scope is Scope.SYSTEM:
        return {"system": {"all": True}}
    if held.scope is Scope.DOMAIN:
        scope = {"domain": _domain(view, held.target_id) if names else {"id": held.target_id}}
    else:
        part: dict[str, object] = {"id": held.target_id}
        if names:
            project = view.need(Project, held.target_id)
            part |= {"name": project.name, "domain": _domain(view, project.domain_id)}
        scope = {"project": part}
    if held.source.inherited and held.actor_id == held.source.actor_id and held.target_id == held.source.target_id:
        scope["OS-INHERIT:inherited_to"] = "projects"
    return scope


def _domain(view: View, domain_id: str) -> dict[str, object]:
    return {"id": domain_id, "name": view.need(Domain, domain_id).name}
