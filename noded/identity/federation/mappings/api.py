"""Answers /OS-FEDERATION/mappings."""

from typing import Annotated, Any, Literal

import msgspec

from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity.federation.commands import CreateMapping, DeleteMapping, UpdateMapping
from noded.identity.listing import listing
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


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """If all of `remote` is so, then `local` is who that is here."""

    local: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(min_length=1)]
    remote: Annotated[tuple[Requirement, ...], msgspec.Meta(min_length=1)]


Rules = Annotated[tuple[Rule, ...], msgspec.Meta(min_length=1, max_length=256)]
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
        CreateMapping(mapping_id=mapping_id, rules=_plain(form.rules), schema_version=form.schema_version or "1.0")
    )
    return _answer(request, mapping_id)


async def list_mappings(request: Request) -> Response:
    """GET /OS-FEDERATION/mappings."""
    entries = [_body(request.base_url, mapping) for mapping in request.cluster.view().all(Mapping)]
    return Response(body=listing("mappings", entries, link(request.base_url, _EXT, "mappings")))


async def show_mapping(request: Request) -> Response:
    """GET /OS-FEDERATION/mappings/{mapping_id}."""
    return _answer(request, request.params["mapping_id"])


async def update_mapping(request: Request) -> Response:
    """PATCH /OS-FEDERATION/mappings/{mapping_id}."""
    change = (await request.json(MappingChangeBody)).mapping
    mapping_id = request.params["mapping_id"]
    rules = change.rules if change.rules is msgspec.UNSET else _plain(change.rules)
    version = msgspec.UNSET if change.schema_version is None else change.schema_version
    await request.cluster.propose(UpdateMapping(mapping_id=mapping_id, rules=rules, schema_version=version))
    return _answer(request, mapping_id)


async def delete_mapping(request: Request) -> Response:
    """DELETE /OS-FEDERATION/mappings/{mapping_id}."""
    await request.cluster.propose(DeleteMapping(mapping_id=request.params["mapping_id"]))
    return Response()


def _plain(rules: tuple[Rule, ...]) -> tuple[dict[str, Any], ...]:
    """The rules as they were sent: what was not said is not there."""
    return tuple(
        {"local": list(rule.local), "remote": [_said(requirement) for requirement in rule.remote]} for rule in rules
    )


def _said(requirement: Requirement) -> dict[str, Any]:
    said = {name: value for name, value in msgspec.structs.asdict(requirement).items() if value not in (None, False)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}


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
