"""What metadata definitions are: namespaces of the properties that images, servers or volumes may be given."""

from enum import StrEnum
from typing import Any, ClassVar, Final, Literal

import msgspec

from noded.core.ids import ProjectId
from noded.core.record import Record

# What can carry the properties here. An association may name any other type too.
RESOURCE_TYPES: Final = (
    "OS::Cinder::Volume",
    "OS::Glance::Image",
    "OS::Nova::Aggregate",
    "OS::Nova::Flavor",
    "OS::Nova::Server",
)
Kind = Literal["array", "boolean", "integer", "number", "object", "string"]


class Visibility(StrEnum):
    """Who sees a namespace."""

    PUBLIC = "public"
    PRIVATE = "private"  # the project that owns it


class Items(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list's elements may be."""

    type: Kind | None = None
    enum: tuple[Any, ...] | None = None


class Property(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "max_length": "maxLength",
        "min_length": "minLength",
        "max_items": "maxItems",
        "min_items": "minItems",
        "unique_items": "uniqueItems",
        "additional_items": "additionalItems",
    },
):
    """What a property is and may hold, in JSON Schema's words. It is encoded as Glance shows it."""

    title: str
    type: Kind
    description: str | None = None
    operators: tuple[str, ...] | None = None
    required: tuple[str, ...] | None = None
    readonly: bool | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    max_length: int | None = None
    min_length: int | None = None
    pattern: str | None = None
    enum: tuple[Any, ...] | None = None
    default: Any = None
    items: Items | None = None
    max_items: int | None = None
    min_items: int | None = None
    unique_items: bool | None = None
    additional_items: bool | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Properties that belong together: an "object" in the API."""

    description: str | None = None
    required: tuple[str, ...] = ()
    properties: dict[str, Property] = msgspec.field(default_factory=dict)
    created_at_ms: int
    updated_at_ms: int


class Association(msgspec.Struct, frozen=True, kw_only=True):
    """That things of some type may have the namespace's properties."""

    prefix: str | None = None  # stands before the properties' names on things of that type
    properties_target: str | None = None  # where on such a thing the properties are
    created_at_ms: int
    updated_at_ms: int


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """When a word was given and changed."""

    created_at_ms: int
    updated_at_ms: int


class Namespace(Record, frozen=True, kw_only=True, tag="metadef_namespace.1"):
    """One namespace with all that is defined in it, by name."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name",)
    NOUN: ClassVar[str] = "metadata definition namespace"

    name: str
    display_name: str | None = None
    description: str | None = None
    visibility: Visibility = Visibility.PRIVATE
    protected: bool = False
    project_id: ProjectId
    properties: dict[str, Property] = msgspec.field(default_factory=dict)
    objects: dict[str, Group] = msgspec.field(default_factory=dict)
    tags: dict[str, Tag] = msgspec.field(default_factory=dict)
    associations: dict[str, Association] = msgspec.field(default_factory=dict)
    generation: int = 0  # grows with each change
    created_at_ms: int
    updated_at_ms: int
