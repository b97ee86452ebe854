"""What the volume type routes do (Cinder v3, "Volume types", "Volume type access", "Default types", "Encryption")."""

from typing import Literal

from msgspec import UNSET, UnsetType, field

from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.ids import ProjectId
from noded.core.route import Allow, Done, Request, Response, Route
from storage import inputs
from storage.inputs import Body, Flag, Plain
from storage.paging import paged
from storage.types.commands import (
    ChangeType,
    CreateType,
    DeleteType,
    SetProjectType,
    SetTypeAccess,
    SetTypeEncryption,
    SetTypeSpecs,
)
from storage.types.model import Encryption, ProjectType, VolumeType, all_types, default_type, get_type, type_named
from storage.types.views import (
    access_view,
    default_view,
    encryption_created,
    encryption_view,
    type_changed,
    type_created,
    type_view,
)

DEFAULTS_SINCE = (3, 62)
SPECS_FILTER_SINCE = (3, 52)


class NewType(Body, frozen=True):
    """The body of a creation."""

    name: str
    description: str | None = None
    extra_specs: dict[str, Plain] = field(default_factory=dict)
    is_public: Flag = field(default=True, name="os-volume-type-access:is_public")


class NewTypeBody(Body, frozen=True):
    """Its wrapper."""

    volume_type: NewType


class TypeChange(Body, frozen=True):
    """The body of a change."""

    name: str | None = None
    description: str | None = None
    is_public: Flag | UnsetType | None = UNSET


class TypeChangeBody(Body, frozen=True):
    """Its wrapper."""

    volume_type: TypeChange


class SpecsBody(Body, frozen=True):
    """Extra specs to set."""

    extra_specs: dict[str, Plain]


class Project(Body, frozen=True):
    """Whom an access action is about."""

    project: str


class AccessBody(Body, frozen=True):
    """One of the two access actions."""

    add: Project | None = field(default=None, name="addProjectAccess")
    remove: Project | None = field(default=None, name="removeProjectAccess")


class NewEncryption(Body, frozen=True):
    """How volumes are to be encrypted."""

    provider: str
    control_location: Literal["front-end", "back-end"] = "front-end"
    cipher: str | None = None
    key_size: int | str | None = None


class NewEncryptionBody(Body, frozen=True):
    """Its wrapper."""

    encryption: NewEncryption


class EncryptionChange(Body, frozen=True):
    """What changes of it."""

    provider: str | None = None
    control_location: Literal["front-end", "back-end"] | None = None
    cipher: str | UnsetType | None = UNSET
    key_size: int | str | UnsetType | None = UNSET


class EncryptionChangeBody(Body, frozen=True):
    """Its wrapper."""

    encryption: EncryptionChange


class DefaultType(Body, frozen=True):
    """A type by its name or id."""

    volume_type: str


class DefaultTypeBody(Body, frozen=True):
    """Its wrapper."""

    default_type: DefaultType


def _visible(request: Request) -> VolumeType:
    type_id = request.params["type_id"]
    kind = get_type(request.cluster.view(), type_id)
    if kind is None or not (kind.is_open_to(request.caller.project_id) or request.caller.is_admin):
        raise NotFound(f"Volume type {type_id[:255]} could not be found.")
    return kind


def _again(request: Request, type_id: str) -> VolumeType:
    kind = get_type(request.cluster.view(), type_id)
    if kind is None:
        raise NotFound(f"Volume type {type_id[:255]} could not be found.")
    return kind


async def list_types(request: Request) -> Response:
    """The types that the caller may use; an administrator asks for the others with `is_public`."""
    query, caller = request.query, request.caller
    types = all_types(request.cluster.view())
    public = query.get("is_public", "true")
    if not caller.is_admin or public.lower() != "none":
        wanted = inputs.flag(public, "is_public") if caller.is_admin else True
        types = [
            kind
            for kind in types
            if (kind.is_open_to(caller.project_id) if wanted and not caller.is_admin else kind.is_public is wanted)
        ]
    if "name" in query:
        types = [kind for kind in types if kind.name == query["name"]]
    if "extra_specs" in query and request.microversion >= SPECS_FILTER_SINCE:
        wanted_specs = inputs.pairs(query["extra_specs"], "extra_specs")
        types = [kind for kind in types if wanted_specs.items() <= kind.extra_specs.items()]
    keys = {
        "id": lambda kind: kind.id,
        "name": lambda kind: kind.name,
        "created_at": lambda kind: kind.created_at_ms,
        "updated_at": lambda kind: kind.updated_at_ms,
        "is_public": lambda kind: kind.is_public,
    }
    page, links = paged(types, query, request.base_url + request.path, keys, word="volume_type", noun="Volume type")
    return Response(body={"volume_types": [type_view(kind, for_admin=caller.is_admin) for kind in page], **links})


async def show_type(request: Request) -> Response:
    """A type by its id."""
    return Response(body={"volume_type": type_view(_visible(request), for_admin=request.caller.is_admin)})


async def show_default(request: Request) -> Response:
    """The type of volumes that name none."""
    kind = default_type(request.cluster.view(), request.caller.project)
    return Response(body={"volume_type": type_view(kind, for_admin=request.caller.is_admin)})


async def create_type(request: Request) -> Response:
    """A new kind of volumes. Unlike most creations Cinder answers it with a plain success."""
    new, type_id = (await request.json(NewTypeBody)).volume_type, dice.new_uuid()
    await request.cluster.propose(
        CreateType(
            type_id=type_id,
            name=inputs.name(new.name),
            description=None if new.description is None else inputs.text(new.description, "description"),
            is_public=inputs.flag(new.is_public, "os-volume-type-access:is_public"),
            extra_specs=inputs.specs(new.extra_specs, "extra_specs"),
            now_ms=now_ms(),
        )
    )
    return Response(body={"volume_type": type_created(_again(request, type_id))})


async def update_type(request: Request) -> Response:
    """New words on a type."""
    change, kind = (await request.json(TypeChangeBody)).volume_type, _visible(request)
    if change.name is None and change.description is None and change.is_public in (UNSET, None):
        raise Invalid("Specify volume type name, description, is_public or a combination thereof.")
    public = change.is_public
    await request.cluster.propose(
        ChangeType(
            type_id=kind.id,
            name=None if change.name is None else inputs.name(change.name),
            description=None if change.description is None else inputs.text(change.description, "description"),
            is_public=None if public is None or isinstance(public, UnsetType) else inputs.flag(public, "is_public"),
            now_ms=now_ms(),
        )
    )
    return Response(body={"volume_type": type_changed(_again(request, kind.id))})


async def delete_type(request: Request) -> Response:
    """Take a kind of volumes away."""
    await request.cluster.propose(DeleteType(type_id=_visible(request).id))
    return Response()


async def list_specs(request: Request) -> Response:
    """Every extra spec of a type."""
    return Response(body={"extra_specs": dict(_visible(request).extra_specs)})


async def show_spec(request: Request) -> Response:
    """One extra spec."""
    kind, key = _visible(request), request.params["key"]
    if key not in kind.extra_specs:
        raise NotFound(f"Volume Type {kind.id} has no extra specs with key {key[:255]}.")
    return Response(body={key: kind.extra_specs[key]})


async def set_specs(request: Request) -> Response:
    """Add or change extra specs."""
    changed = inputs.specs((await request.json(SpecsBody)).extra_specs, "extra_specs")
    await request.cluster.propose(SetTypeSpecs(type_id=_visible(request).id, changed=changed, now_ms=now_ms()))
    return Response(body={"extra_specs": changed})


async def set_spec(request: Request) -> Response:
    """Change one extra spec; the body names the same key as the path."""
    changed = inputs.specs(await request.json(dict[str, Plain]), "extra_specs")
    if set(changed) != {request.params["key"]}:
        raise Invalid("Request body and URI mismatch: the body must have the key of the path, and no other.")
    await request.cluster.propose(SetTypeSpecs(type_id=_visible(request).id, changed=changed, now_ms=now_ms()))
    return Response(body=changed)


async def delete_spec(request: Request) -> Response:
    """Remove one extra spec."""
    kind = _visible(request)
    removed = (request.params["key"],)
    await request.cluster.propose(SetTypeSpecs(type_id=kind.id, removed=removed, now_ms=now_ms()))
    return Response()


async def list_access(request: Request) -> Response:
    """Which projects may use a type that is not public."""
    kind = _visible(request)
    if kind.is_public:
        raise NotFound("Access list not available for public volume types.")
    return Response(body=access_view(kind))


async def act_on_type(request: Request) -> Response:
    """Let a project use a type, or no longer."""
    body, kind = await request.json(AccessBody), _visible(request)
    chosen = body.add or body.remove
    if chosen is None or (body.add and body.remove):
        raise Invalid("Name exactly one action: addProjectAccess or removeProjectAccess.")
    project_id = ProjectId(inputs.name(chosen.project, "project"))
    await request.cluster.propose(SetTypeAccess(type_id=kind.id, project_id=project_id, allowed=body.add is not None))
    return Response()


async def show_encryption(request: Request) -> Response:
    """How volumes of the type are encrypted."""
    return Response(body=encryption_view(_visible(request)))


async def show_encryption_item(request: Request) -> Response:
    """One property of that."""
    found, key = encryption_view(_visible(request)), request.params["key"]
    if key not in found:
        raise NotFound(f"Volume type {request.params['type_id'][:255]} has no encryption spec {key[:255]}.")
    return Response(body={key: found[key]})


async def create_encryption(request: Request) -> Response:
    """From now on volumes of the type are encrypted."""
    new, kind = (await request.json(NewEncryptionBody)).encryption, _visible(request)
    if kind.encryption is not None:
        raise Invalid(f"Volume type encryption for type {kind.id} already exists.")
    encryption = Encryption(
        encryption_id=dice.new_uuid(),
        provider=inputs.name(new.provider, "provider"),
        control_location=new.control_location,
        cipher=None if new.cipher is None else inputs.text(new.cipher, "cipher"),
        key_bits=None if new.key_size is None else inputs.number(new.key_size, "key_size"),
        created_at_ms=now_ms(),
    )
    await request.cluster.propose(SetTypeEncryption(type_id=kind.id, encryption=encryption))
    return Response(body={"encryption": encryption_created(_again(request, kind.id))})


def _encryption(request: Request) -> tuple[VolumeType, Encryption]:
    kind, encryption_id = _visible(request), request.params["key"]
    if kind.encryption is None or kind.encryption.encryption_id != encryption_id:
        raise NotFound(f"Volume type encryption for type {kind.id} does not exist: {encryption_id[:255]}.")
    return kind, kind.encryption


async def update_encryption(request: Request) -> Response:
    """Encrypt them in another way."""
    change, (kind, before) = (await request.json(EncryptionChangeBody)).encryption, _encryption(request)
    cipher, bits = change.cipher, change.key_size
    after = Encryption(
        encryption_id=before.encryption_id,
        provider=before.provider if change.provider is None else inputs.name(change.provider, "provider"),
        control_location=change.control_location or before.control_location,
        cipher=before.cipher if isinstance(cipher, UnsetType) else inputs.text(cipher, "cipher") or None,
        key_bits=before.key_bits
        if isinstance(bits, UnsetType)
        else (None if bits is None else inputs.number(bits, "key_size")),
        created_at_ms=before.created_at_ms,
    )
    await request.cluster.propose(SetTypeEncryption(type_id=kind.id, encryption=after))
    body = encryption_created(_again(request, kind.id))
    del body["volume_type_id"], body["encryption_id"]
    return Response(body={"encryption": body})


async def delete_encryption(request: Request) -> Response:
    """From now on volumes of the type are not encrypted."""
    kind, _ = _encryption(request)
    await request.cluster.propose(SetTypeEncryption(type_id=kind.id, encryption=None))
    return Response()


async def list_defaults(request: Request) -> Response:
    """Every project that has a default type of its own."""
    defaults = request.cluster.view().all(ProjectType)
    return Response(body={"default_types": [default_view(default) for default in defaults]})


async def show_project_default(request: Request) -> Response:
    """A project's own default type."""
    project_id = request.params["owner"]
    default = request.cluster.view().get(ProjectType, project_id)
    if default is None:
        raise NotFound(f"Default type for project {project_id[:255]} not found.")
    return Response(body={"default_type": default_view(default)})


async def set_project_default(request: Request) -> Response:
    """Give a project a default type of its own."""
    word = (await request.json(DefaultTypeBody)).default_type.volume_type
    view = request.cluster.view()
    kind = get_type(view, word) if word else None
    kind = kind or type_named(view, word)
    if kind is None:
        raise NotFound(f"Volume type {word[:255]} could not be found.")
    project_id = ProjectId(inputs.name(request.params["owner"], "project_id"))
    await request.cluster.propose(SetProjectType(project_id=project_id, type_id=kind.id))
    return await show_project_default(request)


async def unset_project_default(request: Request) -> Response:
    """The cluster's default type holds for the project again."""
    await request.cluster.propose(SetProjectType(project_id=ProjectId(request.params["owner"]), type_id=None))
    return Response()


_TYPE = "/v3/types/{type_id}"
_OWNER = "/v3/default-types/{owner}"

ROUTES = (
    Route(verb="GET", path="/v3/types", handler=list_types, allow=Allow.READER),
    Route(verb="POST", path="/v3/types", handler=create_type, allow=Allow.ADMIN),
    Route(verb="GET", path="/v3/types/default", handler=show_default, allow=Allow.READER),
    Route(verb="GET", path=_TYPE, handler=show_type, allow=Allow.READER),
    Route(verb="PUT", path=_TYPE, handler=update_type, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_TYPE, handler=delete_type, allow=Allow.ADMIN, done=Done.ACCEPTED),
    Route(verb="GET", path=_TYPE + "/extra_specs", handler=list_specs, allow=Allow.READER),
    Route(verb="POST", path=_TYPE + "/extra_specs", handler=set_specs, allow=Allow.ADMIN),
    Route(verb="GET", path=_TYPE + "/extra_specs/{key}", handler=show_spec, allow=Allow.READER),
    Route(verb="PUT", path=_TYPE + "/extra_specs/{key}", handler=set_spec, allow=Allow.ADMIN),
    Route(
        verb="DELETE",
        path=_TYPE + "/extra_specs/{key}",
        handler=delete_spec,
        allow=Allow.ADMIN,
        done=Done.ACCEPTED,
    ),
    Route(verb="GET", path=_TYPE + "/os-volume-type-access", handler=list_access, allow=Allow.ADMIN),
    Route(verb="POST", path=_TYPE + "/action", handler=act_on_type, allow=Allow.ADMIN, done=Done.ACCEPTED),
    Route(verb="GET", path=_TYPE + "/encryption", handler=show_encryption, allow=Allow.ADMIN),
    Route(verb="POST", path=_TYPE + "/encryption", handler=create_encryption, allow=Allow.ADMIN),
    Route(verb="GET", path=_TYPE + "/encryption/{key}", handler=show_encryption_item, allow=Allow.ADMIN),
    Route(verb="PUT", path=_TYPE + "/encryption/{key}", handler=update_encryption, allow=Allow.ADMIN),
    Route(
        verb="DELETE",
        path=_TYPE + "/encryption/{key}",
        handler=delete_encryption,
        allow=Allow.ADMIN,
        done=Done.ACCEPTED,
    ),
    Route(verb="GET", path="/v3/default-types", handler=list_defaults, allow=Allow.ADMIN, since=DEFAULTS_SINCE),
    Route(verb="GET", path=_OWNER, handler=show_project_default, allow=Allow.ADMIN, since=DEFAULTS_SINCE),
    Route(verb="PUT", path=_OWNER, handler=set_project_default, allow=Allow.ADMIN, since=DEFAULTS_SINCE),
    Route(
        verb="DELETE",
        path=_OWNER,
        handler=unset_project_default,
        allow=Allow.ADMIN,
        done=Done.EMPTY,
        since=DEFAULTS_SINCE,
    ),
)
