"""What a user may write in a namespace: bodies in, a `NamespaceForm` out, or a refusal that names the field. Pure."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from images.metadefs.commands import NamespaceForm
from images.metadefs.model import Association, Group, Property, Tag, Visibility
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.ids import ProjectId

NAME_CHARS_MAX: Final = 80  # of namespaces, properties, objects, tags, resource types, prefixes
DESCRIPTION_CHARS_MAX: Final = 500
OWNER_CHARS_MAX: Final = 255

V = TypeVar("V", Property, Group, Tag, Association)


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clients send back what they were shown: such keys are taken and mean nothing."""

    self_link: Any = msgspec.field(default=None, name="self")
    schema: Any = None
    created_at: Any = None
    updated_at: Any = None


class Definition(Property, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a property is, as clients write it; the name, which its key says too, may stand in it."""

    name: str | None = None


class PropertyBody(Definition, frozen=True, kw_only=True):
    """A property with its name."""

    name: str


class ObjectBody(_Body, frozen=True, kw_only=True):
    """An object with its name."""

    name: str
    description: str | None = None
    required: tuple[str, ...] = ()
    properties: dict[str, Definition] = msgspec.field(default_factory=dict)


class TagBody(_Body, frozen=True, kw_only=True):
    """A tag with its name."""

    name: str


class TagsBody(_Body, frozen=True, kw_only=True):
    """All tags of a namespace."""

    tags: tuple[TagBody, ...]


class AssociationBody(_Body, frozen=True, kw_only=True):
    """That things of type `name` may have the namespace's properties."""

    name: str
    prefix: str | None = None
    properties_target: str | None = None


class NamespaceBody(_Body, frozen=True, kw_only=True):
    """A namespace; at its creation with what is in it."""

    namespace: str
    display_name: str | None = None
    description: str | None = None
    visibility: Visibility = Visibility.PRIVATE
    protected: bool = False
    owner: str | None = None
    resource_type_associations: tuple[AssociationBody, ...] = ()
    properties: dict[str, Definition] = msgspec.field(default_factory=dict)
    objects: tuple[ObjectBody, ...] = ()
    tags: tuple[TagBody, ...] = ()


def new_namespace(body: NamespaceBody, project_id: ProjectId, now_ms: int) -> NamespaceForm:
    """A namespace with all that the body defines in it."""
    form = with_words(NamespaceForm(name=body.namespace, project_id=project_id), body)
    for name, definition in body.properties.items():
        form = with_property(form, name, definition)
    for each in body.objects:
        form = with_object(form, each, now_ms)
    for link in body.resource_type_associations:
        form = with_association(form, link, now_ms)
    return with_tags(form, body.tags, now_ms)


def with_words(form: NamespaceForm, body: NamespaceBody) -> NamespaceForm:
    """`form` with the body's words on the namespace itself; what is defined in it stays."""
    owner = _text("owner", body.owner, OWNER_CHARS_MAX)
    return replace(
        form,
        name=_name("namespace", body.namespace),
        display_name=_text("display_name", body.display_name, NAME_CHARS_MAX),
        description=_text("description", body.description, DESCRIPTION_CHARS_MAX),
        visibility=body.visibility,
        protected=body.protected,
        project_id=ProjectId(owner) if owner else form.project_id,
    )


def with_property(
    form: NamespaceForm, name: str, definition: Property, *, instead_of: str | None = None
) -> NamespaceForm:
    """`form` with one more property, or with another one in the place of `instead_of`."""
    return replace(form, properties=_placed("property", form.properties, name, _plain(definition), instead_of))


def with_object(form: NamespaceForm, body: ObjectBody, now_ms: int, *, instead_of: str | None = None) -> NamespaceForm:
    """`form` with one more object, or with another one in the place of `instead_of`."""
    made = Group(
        description=_text("description", body.description, DESCRIPTION_CHARS_MAX),
        required=body.required,
        properties={_name("property", name): _plain(each) for name, each in body.properties.items()},
        created_at_ms=now_ms if instead_of is None else need("object", form.objects, instead_of).created_at_ms,
        updated_at_ms=now_ms,
    )
    return replace(form, objects=_placed("object", form.objects, body.name, made, instead_of))


def with_tag(form: NamespaceForm, name: str, now_ms: int, *, instead_of: str | None = None) -> NamespaceForm:
    """`form` with one more tag, or with `instead_of` renamed."""
    born = now_ms if instead_of is None else need("tag", form.tags, instead_of).created_at_ms
    return replace(
        form, tags=_placed("tag", form.tags, name, Tag(created_at_ms=born, updated_at_ms=now_ms), instead_of)
    )


def with_tags(form: NamespaceForm, tags: tuple[TagBody, ...], now_ms: int) -> NamespaceForm:
    """`form` with several more tags."""
    for tag in tags:
        form = with_tag(form, tag.name, now_ms)
    return form


def with_association(form: NamespaceForm, body: AssociationBody, now_ms: int) -> NamespaceForm:
    """`form` for things of one more type."""
    made = Association(
        prefix=_text("prefix", body.prefix, NAME_CHARS_MAX),
        properties_target=_text("properties_target", body.properties_target, NAME_CHARS_MAX),
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    return replace(form, associations=_placed("resource type association", form.associations, body.name, made, None))


def without(what: str, things: Mapping[str, V], name: str) -> dict[str, V]:
    """`things` without the one of that name; raises `NotFound`."""
    need(what, things, name)
    return {each: thing for each, thing in things.items() if each != name}


def need(what: str, things: Mapping[str, V], name: str) -> V:
    """The thing of that name; raises `NotFound`."""
    if name not in things:
        raise NotFound.of(f"metadata definition {what}", name)
    return things[name]


def _placed(what: str, things: Mapping[str, V], name: str, thing: V, instead_of: str | None) -> dict[str, V]:
    _name(what, name)
    if instead_of is not None:
        need(what, things, instead_of)
    if name in things and name != instead_of:
        raise Conflict(f"A metadata definition {what} {name} exists already in this namespace; choose another name.")
    return {each: old for each, old in things.items() if each != instead_of} | {name: thing}


def _plain(definition: Property) -> Property:
    _text("title", definition.title, NAME_CHARS_MAX)
    whole = (definition.max_length, definition.min_length, definition.max_items, definition.min_items)
    if any(number is not None and number < 0 for number in whole):
        raise Invalid("maxLength, minLength, maxItems and minItems of a property are whole numbers of zero or more.")
    return Property(**{field: getattr(definition, field) for field in Property.__struct_fields__})


def _name(what: str, name: str) -> str:
    if not 0 < len(name) <= NAME_CHARS_MAX:
        raise Invalid(f"The name of a metadata definition {what} has 1 to {NAME_CHARS_MAX} characters.")
    return name


def _text(field: str, value: str | None, chars_max: int) -> str | None:
    if value is not None and len(value) > chars_max:
        raise Invalid(f"{field} has {len(value)} characters; at most {chars_max} are allowed.")
    return value
