"""Who is somebody here, by what an identity provider says of them? Evaluates a mapping's rules. Pure.

    assertion   attribute → its values, as `claims.py` made them
    rule        holds if all of `remote` does; then its `local` counts, {0}, {1}, … standing for what was kept

(Keystone's "Mapping Combinations": `any_one_of` and `not_any_of` only test, everything else keeps its values for the
placeholders; several rules may hold, the first that names a user gives the user, groups add up.) Version 2.0 of the
schema honours domains that rules name; by 1.0 users and projects are in the identity provider's own.
"""

import re
from ast import literal_eval
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from noded.core.errors import Invalid

Assertion = Mapping[str, tuple[str, ...]]
Kept = tuple[str, ...]

HONOURS_DOMAINS: Final = "2.0"
GROUPS_MAX: Final = 200  # of one sign-in: they are carried in the token
PROJECTS_MAX: Final = 32
_PLACE: Final = re.compile(r"\{\{|\}\}|\{(\d{1,3})\}")
_WHOLE: Final = re.compile(r"\{(\d{1,3})\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainName:
    """A domain by id or by name."""

    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupName:
    """A group by name and domain."""

    name: str
    domain: DomainName


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectWish:
    """A project that the user shall have, made if need be, with the named roles."""

    name: str
    role_names: tuple[str, ...]
    domain: DomainName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What the rules make of the assertion."""

    user_id: str | None = None
    user_name: str | None = None
    email: str | None = None
    is_local: bool = False  # a user of this cloud's own is meant, who must exist
    domain: DomainName | None = None
    group_ids: tuple[str, ...] = ()
    groups: tuple[GroupName, ...] = ()
    projects: tuple[ProjectWish, ...] = ()


@dataclass(slots=True)
class _Found:
    user: dict[str, Any] = field(default_factory=dict)
    domain: DomainName | None = None
    group_ids: list[str] = field(default_factory=list)
    groups: list[GroupName] = field(default_factory=list)
    projects: tuple[ProjectWish, ...] = ()


def mapped(rules: Iterable[Mapping[str, Any]], schema_version: str, assertion: Assertion) -> Mapped | None:
    """What the rules say; None if none of them holds. Raises `Invalid` for a rule that asks for what was not kept."""
    found, held = _Found(), False
    for rule in rules:
        kept = _kept(rule["remote"], assertion)
        if kept is not None:
            held = True
            for local in rule["local"]:
                _add(found, local, kept)
    if not held:
        return None
    honours = schema_version == HONOURS_DOMAINS
    user = found.user
    is_local = user.get("type") == "local"
    return Mapped(
        user_id=user.get("id") or None,
        user_name=user.get("name") or None,
        email=user.get("email") or None,
        is_local=is_local,
        domain=(_domain(user.get("domain")) or found.domain) if honours or is_local else None,
        group_ids=tuple(dict.fromkeys(found.group_ids))[:GROUPS_MAX],
        groups=tuple(dict.fromkeys(found.groups))[:GROUPS_MAX],
        projects=tuple(
            each if honours else ProjectWish(name=each.name, role_names=each.role_names) for each in found.projects
        )[:PROJECTS_MAX],
    )


def _kept(requirements: Iterable[Mapping[str, Any]], assertion: Assertion) -> list[Kept] | None:
    """The values for the placeholders, in the order of the requirements; None if one of them does not hold."""
    kept: list[Kept] = []
    for requirement in requirements:
        values = assertion.get(requirement["type"], ())
        if not values:
            return None
        is_regex = bool(requirement.get("regex"))
        if requirement.get("any_one_of") is not None:
            if not _matching(requirement["any_one_of"], values, is_regex=is_regex):
                return None
        elif requirement.get("not_any_of") is not None:
            if _matching(requirement["not_any_of"], values, is_regex=is_regex):
                return None
        elif requirement.get("blacklist") is not None:
            unwanted = _matching(requirement["blacklist"], values, is_regex=is_regex)
            kept.append(tuple(value for value in values if value not in unwanted))
        elif requirement.get("whitelist") is not None:
            kept.append(_matching(requirement["whitelist"], values, is_regex=is_regex))
        else:
            kept.append(values)
    return kept


def _matching(wanted: Sequence[Any], values: Kept, *, is_regex: bool) -> Kept:
    """Those of the values that are among the wanted ones, in their own order."""
    if is_regex:
        return tuple(value for value in values if any(re.search(str(each), value) for each in wanted))
    return tuple(value for value in values if value in wanted)


def _add(found: _Found, local: Mapping[str, Any], kept: list[Kept]) -> None:
    domain = _domain(_filled(local.get("domain"), kept))
    if "user" in local and not found.user:
        found.user = _filled(local["user"], kept)
        found.domain = domain
    if "group" in local:
        group = _filled(local["group"], kept)
        if "id" in group:
            found.group_ids.append(group["id"])
        else:
            found.groups.append(GroupName(name=group["name"], domain=_domain(group["domain"]) or DomainName()))
    if "groups" in local:
        if domain is None:
            raise Invalid("Invalid rule: 'groups' needs 'domain' beside it.")
        found.groups += [GroupName(name=name, domain=domain) for name in _listed(local["groups"], kept)]
    if "group_ids" in local:
        found.group_ids += _listed(local["group_ids"], kept)
    if "projects" in local:
        found.projects = tuple(_project(_filled(each, kept), domain) for each in local["projects"])


def _project(wish: Mapping[str, Any], default: DomainName | None) -> ProjectWish:
    roles = tuple(role["name"] for role in wish["roles"])
    return ProjectWish(name=wish["name"], role_names=roles, domain=_domain(wish.get("domain")) or default)


def _domain(form: Mapping[str, Any] | None) -> DomainName | None:
    if not form or not (form.get("id") or form.get("name")):
        return None
    return DomainName(id=form.get("id") or None, name=form.get("name") or None)


def _listed(text: str, kept: list[Kept]) -> Sequence[str]:
    """Several values in one text: a lone placeholder stands for all that it kept, never for what they may spell.

    A rule may also spell a list out itself, as `['a', 'b']`.
    """
    whole = _WHOLE.fullmatch(text.strip())
    if whole is not None:
        return _at(int(whole[1]), kept)
    if _PLACE.search(text) is None:
        try:
            spelled = literal_eval(text)
        except (ValueError, SyntaxError):
            return (text,)
        if isinstance(spelled, list | tuple):
            return [str(each) for each in spelled]
    return (_filled(text, kept),)


def _filled(value: Any, kept: list[Kept]) -> Any:
    """The same, with what was kept in the place of each {n}."""
    if isinstance(value, Mapping):
        return {name: _filled(each, kept) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(each, kept) for each in value]
    return _PLACE.sub(lambda place: _told(place, kept), value) if isinstance(value, str) else value


def _told(place: re.Match[str], kept: list[Kept]) -> str:
    if place[1] is None:
        return place[0][0]  # {{ and }} are the braces themselves
    values = _at(int(place[1]), kept)
    return values[0] if len(values) == 1 else str(list(values))


def _at(index: int, kept: list[Kept]) -> Kept:
    if index >= len(kept):
        raise Invalid(f"A rule refers by {{{index}}} to a remote match that doesn't exist: it keeps {len(kept)}.")
    return kept[index]
