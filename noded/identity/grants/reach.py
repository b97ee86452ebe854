"""Which grants may a caller see, and which may they make? Pure. (Keystone's policies of grants.)"""

from typing import Final

from noded.core.errors import Forbidden
from noded.core.route import Caller
from noded.core.store import View
from noded.identity.grants.commands import Place
from noded.identity.model import Actor, Domain, Group, Project, Role, Scope, User
from noded.identity.overseeing import expect_command, expect_sight

# What a domain's manager may give and take. Not admin: whoever holds that anywhere administers the cloud.
GRANTED_BY_MANAGERS: Final = frozenset({"manager", "member", "reader"})


def expect_witness(view: View, caller: Caller, place: Place, role_id: str | None) -> None:
    """Raises `Forbidden` unless the caller may see who holds what there."""
    if place.scope is Scope.SYSTEM or caller.is_admin:
        return
    expect_sight(caller, _actors_domain(view, place), domain_of(view, place.scope, place.target_id))
    if caller.domain_id is not None and role_id is not None:
        role = view.get(Role, role_id)
        if role is None or role.domain_id not in (None, caller.domain_id):
            raise Forbidden("You are not authorized to perform this: it is a role of another domain.")


def expect_grantor(view: View, caller: Caller, place: Place, role_id: str) -> None:
    """Raises `Forbidden` unless the caller may grant or take that role there."""
    if place.scope is Scope.SYSTEM or caller.is_admin:
        return
    expect_command(caller, _actors_domain(view, place), domain_of(view, place.scope, place.target_id))
    role = view.get(Role, role_id)
    if role is None or role.domain_id is not None or role.name not in GRANTED_BY_MANAGERS:
        raise Forbidden(
            "You are not authorized to perform this: managers of a domain grant the roles"
            f" {', '.join(sorted(GRANTED_BY_MANAGERS))} alone."
        )


def domain_of(view: View, scope: Scope, target_id: str) -> str | None:
    """The domain that a target is in; None for the system and for what is not there."""
    if scope is Scope.DOMAIN:
        domain = view.get(Domain, target_id)
        return None if domain is None else domain.id
    project = view.get(Project, target_id) if scope is Scope.PROJECT else None
    return None if project is None else project.domain_id


def _actors_domain(view: View, place: Place) -> str | None:
    actor = view.get(User if place.actor is Actor.USER else Group, place.actor_id)
    assert actor is None or isinstance(actor, User | Group), actor
    return None if actor is None else actor.domain_id
