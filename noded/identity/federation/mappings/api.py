"""Answers /OS-FEDERATION/mappings."""

import re
from typing import Annotated, Any, Literal

import msgspec

from noded.core.errors import Invalid
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity.federation.commands import CreateMapping, DeleteMapping, UpdateMapping
from noded.identity.listing import listed
from noded.identity.providers import Mapping
from noded.identity.views import link

_EXT = "OS-FEDERATION"


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be so of one attribute that the identity provider gave. Its value is kept unless it is only checked."""

    type: Annotated[str, msgspec.Meta(min_length=1)]
    any_one_of: tuple[Any, ...] | None = None
    not_any_of: tuple[Any, ...] | None = None
    whitelist: tuple[Any, ...] | None = None
    blacklist: tuple[Any, ...] | None = None
    regex: bool = False


class DomainForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A domain by id or by name."""

    id: str | None = None
    name: str | None = None


class UserLocal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who it is here."""

    id: str | None = None
    name: str | None = None
    email: str | None = None
    domain: DomainForm | None = None
    type: Literal["ephemeral", "local"] | None = None


class GroupLocal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group by id, or by name and domain."""

    id: str | None = None
    name: str | None = None
    domain: DomainForm | None = None


class RoleLocal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role by name."""

    name: str


class ProjectLocal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A project that the user shall have, with these roles."""

    name: str
    roles: tuple[RoleLocal, ...]
    domain: DomainForm | None = None


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who or what it is here."""

    user: UserLocal | None = None
    group: GroupLocal | None = None
    groups: str | None = None
    group_ids: str | None = None
    projects: tuple[ProjectLocal, ...] | None = None
    domain: DomainForm | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """If all of `remote` is so, then `local` is who that is here."""

    local: tuple[Local, ...]
    remote: Annotated[tuple[Requirement, ...], msgspec.Meta(min_length=1)]


# Kept as they were sent, once they can be read as `Rule`.
Rules = Annotated[tuple[dict[str, Any], ...], msgspec.Meta(min_length=1, max_length=256)]
Version = Literal["1.0", "2.0"]


class MappingForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new mapping."""

    rules: Rules
    schema_version: Version | None = None  # the openstack client sends null for the usual one
    id: str | None = None


class MappingBody(msgspec.Struct, frozen=True):
    """`{"mapping": {...}}`."""

    mapping: MappingForm


class MappingChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different."""

    rules: Rules | msgspec.UnsetType = msgspec.UNSET
    schema_version: Version | msgspec.UnsetType | None = msgspec.UNSET
    id: str | None = None


class MappingChangeBody(msgspec.Struct, frozen=True):
    """`{"mapping": {...}}` of a change."""

    mapping: MappingChange


async def create_mapping(request: Request) -> Response:
    """PUT /OS-FEDERATION/mappings/{mapping_id}."""
    form = (await request.json(MappingBody)).mapping
    mapping_id = request.params["mapping_id"]
    await request.cluster.propose(
        CreateMapping(mapping_id=mapping_id, rules=_sound(form.rules), schema_version=form.schema_version or "1.0")
    )
    return _answer(request, mapping_id)


async def list_mappings(request: Request) -> Response:
    """GET /OS-FEDERATION/mappings."""
    entries = [_body(request.base_url, mapping) for mapping in request.cluster.view().all(Mapping)]
    return listed(request, "mappings", entries, link(request.base_url, _EXT, "mappings"))


async def show_mapping(request: Request) -> Response:
    """GET /OS-FEDERATION/mappings/{mapping_id}."""
    return _answer(request, request.params["mapping_id"])


async def update_mapping(request: Request) -> Response:
    """PATCH /OS-FEDERATION/mappings/{mapping_id}."""
    change = (await request.json(MappingChangeBody)).mapping
    mapping_id = request.params["mapping_id"]
    rules = change.rules if change.rules is msgspec.UNSET else _sound(change.rules)
    version = msgspec.UNSET if change.schema_version is None else change.schema_version
    await request.cluster.propose(UpdateMapping(mapping_id=mapping_id, rules=rules, schema_version=version))
    return _answer(request, mapping_id)


async def delete_mapping(request: Request) -> Response:
    """DELETE /OS-FEDERATION/mappings/{mapping_id}."""
    await request.cluster.propose(DeleteMapping(mapping_id=request.params["mapping_id"]))
    return Response()


def _sound(rules: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """The rules, if they can be evaluated; raises `Invalid` that names what can't."""
    try:
        read = msgspec.convert(rules, tuple[Rule, ...])
    except msgspec.ValidationError as wrong:
        raise Invalid(f"Invalid input: {wrong}.") from None
    for rule in read:
        for requirement in rule.remote:
            _expect_one_test(requirement)
        for group in (local.group for local in rule.local if local.group is not None):
            if (group.id is None) == (group.name is None or group.domain is None):
                raise Invalid("Invalid input: a group needs `id`, or `name` and `domain` - at `$.mapping.rules`.")
    return rules


def _expect_one_test(requirement: Requirement) -> None:
    tests = ("any_one_of", "not_any_of", "whitelist", "blacklist")
    given = [name for name in tests if getattr(requirement, name) is not None]
    if len(given) > 1:
        raise Invalid(f"Invalid input: {given[0]} and {given[1]} exclude each other - at `$.mapping.rules`.")
    for pattern in getattr(requirement, given[0]) if given and requirement.regex else ():
        try:
            re.compile(pattern)
        except (re.error, TypeError) as wrong:
            raise Invalid(f"Invalid input: {pattern!r} is no regular expression: {wrong}.") from None


def _body(base_url: str, mapping: Mapping) -> dict[str, object]:
    return {
        "id": mapping.id,
        "rules": list(mapping.rules),
        "schema_version": mapping.schema_version,
        "links": {"self": link(base_url, _EXT, "mappings", mapping.id)},
    }


def _answer(request: Request, mapping_id: str) -> Response:
    mapping = request.cluster.view().need(Mapping, mapping_id)
    return Response(body={"mapping": _body(request.base_url, mapping)})


_ALL = f"/{_EXT}/mappings"
_ONE = _ALL + "/{mapping_id}"

ROUTES = (
    Route(verb="PUT", path=_ONE, handler=create_mapping, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_ALL, handler=list_mappings, allow=Allow.OVERSEER),
    Route(verb="GET", path=_ONE, handler=show_mapping, allow=Allow.OVERSEER),
    Route(verb="PATCH", path=_ONE, handler=update_mapping, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_mapping, allow=Allow.ADMIN, done=Done.EMPTY),
)
