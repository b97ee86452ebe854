"""Which rule holds for an action? The release's own, in one table, and what the operator says otherwise. Pure.

An action is `TYPE:FOLDER:HANDLER`: `compute:servers:create_server` is what `create_server` in `compute/servers` does.
Every route names its rule by `allow`; all of them are written out in `docs/policy.yaml`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Final

import msgspec

from noded.core.errors import Invalid, NotFound
from noded.core.record import Record, table_of
from noded.core.route import Allow, Caller, Route
from noded.core.secrecy import secret_paths
from noded.core.service import Endpoint, FaultStyle, Service
from noded.core.store import View
from noded.policy.language import Check, Never, attributes_of, parse, rules_of

# What routes name by `allow`, and what these are made of. A token's roles hold the implied ones, too.
BASE: Final[Mapping[str, str]] = {
    "at_least_reader": "role:reader or role:member or role:manager or role:admin",
    "at_least_member": "role:member or role:manager or role:admin",
    "at_least_manager": "role:manager or role:admin",
    "at_least_admin": "role:admin",
    "of_a_project": "not project_id:None",
    "of_a_domain": "not domain_id:None",
    "of_the_system": "system_scope:all",
    # On the token's project.
    "reader": "rule:at_least_reader and rule:of_a_project",
    "member": "rule:at_least_member and rule:of_a_project",
    "manager": "rule:at_least_manager and rule:of_a_project",
    "admin": "rule:at_least_admin and rule:of_a_project",
    # Keystone's own, which is also used with tokens of a domain or of the system. What is everybody's is not changed
    # with the token of one domain.
    "any_token": "@",
    "identity_admin": "rule:at_least_admin and not rule:of_a_domain",
    "overseer": "(role:admin or (rule:of_the_system and role:reader)) and not rule:of_a_domain",
    "domain_reader": "role:admin or ((rule:of_the_system or rule:of_a_domain) and rule:at_least_reader)",
    "domain_manager": "role:admin or (rule:of_a_domain and rule:at_least_manager)",
}
WORDS: Final[Mapping[str, str]] = {
    "identity_admin": "the role admin, on a project or on the system",
    "overseer": "the role admin, or reader on the system",
    "domain_reader": "the role admin, or reader on the system or on the domain",
    "domain_manager": "the role admin, or manager on the domain",
}
OPEN: Final = "anyone"  # no token is asked for, so there is nobody whom a rule could be asked about

_OF_CALLER: Final = ("project_id", "user_id", "domain_id")


class PolicyRule(Record, frozen=True, kw_only=True, tag="policy_rule.1"):
    """The rule that holds for an action, or under a name, in place of the release's own. `id`: that action or name."""

    NOUN: ClassVar[str] = "policy rule"

    id: str
    rule: str


@dataclass(slots=True, kw_only=True)
class Action:
    """What one rule is asked for: usually one route, sometimes one on several paths."""

    name: str
    default: str  # the name of the rule
    endpoint: Endpoint
    routes: list[Route] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)


def action_name(service: str, endpoint: Endpoint, route: Route) -> str:
    """`compute:servers:create_server`."""
    kind = endpoint.types[0] if endpoint.types else endpoint.name
    handler = route.action or getattr(route.handler, "__name__", "handler")
    return f"{kind}:{service.rsplit('.', 1)[-1]}:{handler}"


def default_rule(endpoint: Endpoint, allow: Allow) -> str:
    """The name of the rule that a route has by itself."""
    if endpoint.fault_style is FaultStyle.KEYSTONE and allow is Allow.ADMIN:
        return "identity_admin"
    return allow.value


class Policies:
    """Every action of the registered services, and the rule that holds for it."""

    def __init__(self, services: Iterable[Service]) -> None:
        services = tuple(services)
        self.actions: dict[str, Action] = {}
        self._kinds: dict[str, type[Record]] = {
            table_of(record): record for service in services for record in service.records
        }
        for service in services:
            if service.endpoint is not None:
                for route in service.routes:
                    self._add(service.name, service.endpoint, route)

    def _add(self, service: str, endpoint: Endpoint, route: Route) -> None:
        name, default = action_name(service, endpoint, route), default_rule(endpoint, route.allow)
        action = self.actions.setdefault(name, Action(name=name, default=default, endpoint=endpoint))
        assert action.default == default, f"{name} has two rules: give one of its routes an `action` of its own"
        action.routes.append(route)
        action.variables |= {
            part.strip("{}").removesuffix(":path") for part in route.path.split("/") if part.startswith("{")
        }

    def attributes(self, action: Action) -> list[str]:
        """What a rule may ask of the action's target, in `%(…)s`."""
        found = set(_OF_CALLER) | action.variables
        for variable in action.variables:
            kind = self.kind_of(variable)
            if kind is not None:
                names = _plain_fields(kind)
                found |= {*names, *(f"target.{variable.removesuffix('_id')}.{name}" for name in names)}
        return sorted(found)

    def kind_of(self, variable: str) -> type[Record] | None:
        """The records that a path's variable names: `server_id` a server's."""
        return self._kinds.get(variable.removesuffix("_id")) if variable.endswith("_id") else None

    def text(self, view: View, name: str) -> tuple[str, bool]:
        """The rule of an action or of that name, as text, and whether it is the operator's. Raises `NotFound`."""
        own = view.get(PolicyRule, name)
        if own is not None:
            return own.rule, True
        action = self.actions.get(name)
        if action is not None:
            return f"rule:{action.default}", False
        if name in BASE:
            return BASE[name], False
        raise NotFound(f"No action and no rule is called {name[:255]}; `noded policy list` shows all.")

    def expect_good(self, view: View, rules: Mapping[str, str]) -> None:
        """Raises `Invalid` unless each is a rule that can be read, for something that has one, and leads to an end."""
        merged = {**BASE, **{own.id: own.rule for own in view.all(PolicyRule)}, **rules}
        for name, text in rules.items():
            self._expect_good_one(name, parse(text), merged)
        for name in rules:
            _expect_end(merged, name, ())

    def _expect_good_one(self, name: str, check: Check, merged: Mapping[str, str]) -> None:
        action = self.actions.get(name)
        if action is not None and action.default == OPEN:
            raise Invalid(f"{name} asks nobody for a token, so no rule can be asked who it is.")
        if action is None and ":" in name:
            raise Invalid(f"There is no action {name[:255]}; `noded policy list` shows all.")
        for each in rules_of(check):
            if each not in merged and each not in self.actions:
                raise Invalid(f"The rule of {name} names rule:{each[:255]}, which there is not.")
        if action is not None:
            known = self.attributes(action)
            for each in attributes_of(check):
                if each not in known:
                    raise Invalid(f"{name} has no attribute %({each[:100]})s; there are {', '.join(known)}.")

    def holds(self, view: View, name: str, caller: Caller, params: Mapping[str, str]) -> bool:
        """Whether the rule of an action lets the caller in. Raises `NotFound` if it asks for a target that is gone."""
        return self.question(view, caller, params).holds(name)

    def question(self, view: View, caller: Caller, params: Mapping[str, str]) -> "Question":
        """A caller who wants to do something to what the path names."""
        own = view.all(PolicyRule) if view.count(PolicyRule) else []
        return Question(self, view, caller, params, _read_all(tuple((each.id, each.rule) for each in own)))


class Question:
    """Implements `Answers` for one caller and one target; reads the target's records only if a rule asks for them."""

    def __init__(
        self, policies: Policies, view: View, caller: Caller, params: Mapping[str, str], rules: Mapping[str, Check]
    ) -> None:
        self._policies = policies
        self._view = view
        self._params = params
        self._rules = rules
        self.caller: Mapping[str, object] = {
            "user_id": caller.user_id,
            "user_domain_id": caller.user_domain_id,
            "project_id": caller.project_id,
            "domain_id": caller.domain_id,
            "system_scope": "all" if caller.is_system else None,
            "roles": caller.roles,
            "is_admin_project": True,
        }

    def holds(self, name: str) -> bool:
        """Whether the action's rule lets the caller in."""
        rule = self.rule(name)
        return rule is not None and rule.holds(self)

    def rule(self, name: str) -> Check | None:
        rule = self._rules.get(name)
        if rule is None and name in self._policies.actions:
            rule = self._rules.get(self._policies.actions[name].default)
        return rule

    def of_target(self, name: str) -> object:
        if name in self._params:
            return self._params[name]
        if name.startswith("target."):
            _, noun, attribute = (name + "..").split(".")[:3]
            return self._field(f"{noun}_id", attribute)
        for variable in self._params:
            kind = self._policies.kind_of(variable)
            if kind is not None and name in _plain_fields(kind):
                return self._field(variable, name)
        if name in _OF_CALLER:  # what is listed, or not made yet, is the caller's own
            return self.caller[name]
        raise KeyError(name)

    def _field(self, variable: str, name: str) -> object:
        kind, id = self._policies.kind_of(variable), self._params.get(variable)
        if kind is None or id is None or name not in _plain_fields(kind):
            raise KeyError(name)
        return getattr(self._view.need(kind, id), name)


@lru_cache(maxsize=16)
def _read_all(own: tuple[tuple[str, str], ...]) -> Mapping[str, Check]:
    """All rules, read once for each set of them. One that can't be read lets nobody in."""
    return {name: _read(text) for name, text in {**BASE, **dict(own)}.items()}


def _read(text: str) -> Check:
    try:
        return parse(text)
    except Invalid:  # another release took it
        return Never()


@lru_cache(maxsize=512)
def _plain_fields(kind: type[Record]) -> frozenset[str]:
    """The fields of a record that a rule may compare: those of one word, and none that is secret."""
    hidden = {path[0] for path in secret_paths(str(kind.__struct_config__.tag))}
    plain = {
        each.name
        for each in msgspec.structs.fields(kind)
        if each.name not in hidden and not each.name.startswith("past_")
    }
    return frozenset(plain)


def _expect_end(rules: Mapping[str, str], name: str, trail: tuple[str, ...]) -> None:
    if name in trail:
        raise Invalid(f"These rules name one another in a circle: {' -> '.join((*trail, name))}.")
    if name in rules:
        for each in rules_of(parse(rules[name])):
            _expect_end(rules, each, (*trail, name))
