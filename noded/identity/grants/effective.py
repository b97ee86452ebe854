"""Who holds which role where, once groups, inheritance and implications are followed? Pure.

(Identity API v3, "List role assignments", `effective`: direct assignments of users on targets that can be entered.)
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from noded.core.store import View
from noded.identity.model import Actor, Assignment, Membership, Role, Scope
from noded.identity.standing import reached, with_implied


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One role, held by one actor on one target; `source` is the assignment that it comes from."""

    source: Assignment
    actor: Actor
    actor_id: str
    scope: Scope
    target_id: str
    role: Role
    prior: Role | None = None  # the assigned role, where `role` is only implied by it


def assigned(view: View, assignments: Iterable[Assignment]) -> Iterator[Held]:
    """Each assignment as it was made."""
    for each in assignments:
        yield Held(
            source=each,
            actor=each.actor,
            actor_id=each.actor_id,
            scope=each.scope,
            target_id=each.target_id,
            role=view.need(Role, each.role_id),
        )


def effective(view: View, assignments: Iterable[Assignment], *, project_id: str | None) -> Iterator[Held]:
    """What users hold by the assignments. `project_id`: the only project that is asked for, else all."""
    for source in assignments:
        for scope, target_id in _targets(view, source, project_id):
            for role, prior in _roles(view, source):
                for user_id in _users(view, source):
                    yield Held(
                        source=source,
                        actor=Actor.USER,
                        actor_id=user_id,
                        scope=scope,
                        target_id=target_id,
                        role=role,
                        prior=prior,
                    )


def _targets(view: View, source: Assignment, project_id: str | None) -> list[tuple[Scope, str]]:
    if not source.inherited:
        return [(source.scope, source.target_id)]
    projects = (project.id for project in reached(view, source))
    return [(Scope.PROJECT, id) for id in projects if project_id in (None, id)]


def _users(view: View, source: Assignment) -> list[str]:
    if source.actor is Actor.USER:
        return [source.actor_id]
    return [each.user_id for each in view.find(Membership, "group_id", source.actor_id)]


def _roles(view: View, source: Assignment) -> list[tuple[Role, Role | None]]:
    """The assigned role and each that it implies beside it; of a role of a domain only what it implies."""
    own = view.need(Role, source.role_id)
    implied: list[tuple[Role, Role | None]] = [
        (role, own) for role in with_implied(view, [own.id]) if role.id != own.id and role.domain_id is None
    ]
    return implied if own.domain_id is not None else [(own, None), *implied]
