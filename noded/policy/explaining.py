"""Why may somebody do something, or may not? Takes a rule apart, check by check. Pure."""

import dataclasses
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from noded.core.errors import Invalid, NotFound, Unauthenticated
from noded.core.ids import DomainId, ProjectId
from noded.core.record import Record
from noded.core.route import Caller
from noded.core.service import FaultStyle
from noded.core.store import View
from noded.identity.model import DEFAULT_DOMAIN, SYSTEM_ID, Domain, Group, Project, Role, Scope, User
from noded.identity.standing import actors_of, held_at, standing_of, with_implied
from noded.policy.language import DEPTH_MAX, All, Any, Check, Named, Not, parse
from noded.policy.model import OPEN, Action, Policies, Question

R = TypeVar("R", bound=Record)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to do what, and to what. All by id or name; a scope is a project, a domain or the system."""

    action: str
    user: str
    user_domain: str = DEFAULT_DOMAIN
    project: str = ""
    project_domain: str = DEFAULT_DOMAIN
    domain: str = ""
    system: bool = False
    target: dict[str, str] = msgspec.field(default_factory=dict)  # the path's variables: `server_id`


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One check of the rule, `depth` deep in it."""

    depth: int
    check: str
    holds: bool


class Reasons(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer."""

    action: str
    routes: tuple[str, ...]
    rule: str
    is_own: bool  # the operator's, not this release's
    allowed: bool
    why: str
    way_out: str
    roles: tuple[str, ...]  # each with where it comes from
    steps: tuple[Step, ...]


def reasons(policies: Policies, view: View, asked: Asked) -> Reasons:
    """Why the user may or may not. Raises `NotFound` for what there is not, and `Invalid` for half a question."""
    action = policies.actions.get(asked.action)
    if action is None:
        raise NotFound(f"There is no action {asked.action[:255]}; `noded policy list` shows all.")
    user = _named(view, User, asked.user, asked.user_domain)
    scope, target_id, words = _scope(view, asked)
    rule, is_own = policies.text(view, action.name)
    stands, fault = _caller(view, user, scope, target_id)
    question = policies.question(view, stands, asked.target)
    steps: tuple[Step, ...] = ()
    if action.default == OPEN:
        allowed, why, way_out = True, "Nobody is asked for a token here.", ""
    else:
        steps = tuple(_steps(parse(rule), question, 0, 0))
        allowed, why, way_out = _verdict(action, question, stands, fault, f"{user.name} {words}")
    return Reasons(
        action=action.name,
        routes=tuple(f"{route.verb} {action.endpoint.prefix}{route.path}" for route in action.routes),
        rule=rule,
        is_own=is_own,
        allowed=allowed,
        why=why,
        way_out=way_out or ("" if allowed else _way_out(policies, view, action, stands, asked)),
        roles=tuple(_roles(view, user, scope, target_id)),
        steps=steps,
    )


def _verdict(action: Action, question: Question, caller: Caller, fault: str, who: str) -> tuple[bool, str, str]:
    """Whether they may, why, and what else is in the way."""
    if fault:
        return False, f"{who} gets no token at all: {fault}", ""
    try:
        holds = question.holds(action.name)
    except NotFound as missing:
        return False, f"The rule asks for a thing that is not there: {missing.message}", "Give another --target."
    if not holds:
        return False, f"The rule does not hold for {who}.", ""
    needs_project = action.endpoint.fault_style is not FaultStyle.KEYSTONE and action.default != "any_token"
    if needs_project and caller.project_id is None:
        return False, "This API wants a token of a project, whatever the rule.", "Name a --project."
    return True, f"The rule holds for {who}. What is not theirs the API may still keep from them.", ""


def _way_out(policies: Policies, view: View, action: Action, caller: Caller, asked: Asked) -> str:
    """The roles of which one more would do, the least of them first."""
    enough = []
    for role in view.all(Role):
        held = {each.name for each in with_implied(view, (role.id,))}
        more = dataclasses.replace(caller, roles=caller.roles | held)
        try:
            if role.domain_id is None and policies.holds(view, action.name, more, asked.target):
                enough.append((len(held), role.name))
        except NotFound:
            continue
    if not enough:
        return "No role on this scope would do; ask the rule for what would."
    place = "--system all" if asked.system else f"--{'domain' if asked.domain else 'project'}"
    place += "" if asked.system else f" {asked.domain or asked.project or 'PROJECT'}"
    others = ", ".join(name for _, name in sorted(enough))
    return f"With one of {others} they may: openstack role add --user {asked.user} {place} {min(enough)[1]}"


def _scope(view: View, asked: Asked) -> tuple[Scope, str, str]:
    if sum(map(bool, (asked.project, asked.domain, asked.system))) > 1:
        raise Invalid("A token is for one project, one domain, or the system: name one of them.")
    if asked.project:
        project = _named(view, Project, asked.project, asked.project_domain)
        return Scope.PROJECT, project.id, f"on project {project.name}"
    if asked.domain:
        domain = _named(view, Domain, asked.domain, None)
        return Scope.DOMAIN, domain.id, f"on domain {domain.name}"
    if asked.system:
        return Scope.SYSTEM, SYSTEM_ID, "on the system"
    return Scope.NONE, "", "without a scope"


def _named(view: View, kind: type[R], name: str, domain: str | None) -> R:
    """By id, or by name: within a domain, where it is in one."""
    found = view.get(kind, name)
    if found is not None:
        return found
    where = None if domain is None else _named(view, Domain, domain, None).id
    for each in view.find(kind, "name", name):
        if where is None or getattr(each, "domain_id", None) == where:
            return each
    raise NotFound.of(kind.NOUN, name)


def _caller(view: View, user: User, scope: Scope, target_id: str) -> tuple[Caller, str]:
    """The user in that scope, and why they can't be there if they can't."""
    roles, fault = frozenset[str](), ""
    try:
        roles = frozenset(role.name for role in standing_of(view, user.id, scope, target_id).roles)
    except Unauthenticated:
        fault = _no_standing(view, user, scope, target_id)
    project = view.get(Project, target_id) if scope is Scope.PROJECT else None
    return Caller(
        user_id=user.id,
        user_name=user.name,
        user_domain_id=user.domain_id,
        project_id=None if project is None else ProjectId(project.id),
        project_name=None if project is None else project.name,
        roles=roles,
        domain_id=DomainId(target_id) if scope is Scope.DOMAIN else None,
        is_system=scope is Scope.SYSTEM,
    ), fault


def _no_standing(view: View, user: User, scope: Scope, target_id: str) -> str:
    places: list[Record | None] = [user, view.get(Domain, user.domain_id)]
    if scope is Scope.PROJECT:
        project = view.need(Project, target_id)
        places += [project, view.get(Domain, project.domain_id)]
    elif scope is Scope.DOMAIN:
        places.append(view.get(Domain, target_id))
    for place in places:
        if isinstance(place, User | Domain | Project) and not place.enabled:
            return f"the {place.NOUN} {place.name} is disabled."
    return "they hold no role there."


def _roles(view: View, user: User, scope: Scope, target_id: str) -> Iterator[str]:
    """`member: through group ops, on project p`."""
    if scope is Scope.NONE:
        return
    for held in held_at(view, actors_of(view, user.id), scope, target_id):
        role, group = view.need(Role, held.role_id), view.get(Group, held.actor_id)
        place = view.get(Project, held.target_id) or view.get(Domain, held.target_id)
        on = "the system" if place is None else f"{place.NOUN} {place.name}"
        implied = [each.name for each in with_implied(view, (role.id,)) if each.id != role.id]
        whom = "" if group is None else f"to group {group.name} "
        more = f"; implies {', '.join(implied)}" if implied else ""
        yield f"{role.name}: given {whom}on {on}{', inherited' if held.inherited else ''}{more}"


def _steps(check: Check, question: Question, depth: int, rules: int) -> Iterator[Step]:
    try:
        holds = check.holds(question)
    except NotFound:
        holds = False
    words = {All: "all of:", Any: "one of:", Not: "not:"}.get(type(check), str(check))
    yield Step(depth=depth, check=words, holds=holds)
    for part in check.parts():
        yield from _steps(part, question, depth + 1, rules)
    if isinstance(check, Named) and rules < DEPTH_MAX:
        below = question.rule(check.name)
        if below is not None:
            yield from _steps(below, question, depth + 1, rules + 1)
