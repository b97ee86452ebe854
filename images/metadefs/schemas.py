"""What metadata definitions look like, as JSON schemas: clients check by them what they are about to send."""

from typing import Final, get_args

from images.metadefs.forms import DESCRIPTION_CHARS_MAX, NAME_CHARS_MAX, OWNER_CHARS_MAX
from images.metadefs.model import Kind, Visibility

Schema = dict[str, object]

_TEXT: Final[Schema] = {"type": "string"}
_NAME: Final[Schema] = {"type": "string", "maxLength": NAME_CHARS_MAX}
_DESCRIPTION: Final[Schema] = {"type": "string", "maxLength": DESCRIPTION_CHARS_MAX}
_READ_ONLY: Final[Schema] = {"type": "string", "readOnly": True}
_TIME: Final[Schema] = {"type": "string", "readOnly": True, "format": "date-time"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_TIMES: Final[Schema] = {"created_at": _TIME, "updated_at": _TIME}
_LINKS: Final[Schema] = {"self": _READ_ONLY, "schema": _READ_ONLY}
_TYPE: Final[Schema] = {"type": "string", "enum": list(get_args(Kind))}

_DEFINITION: Final[Schema] = {
    "title": _NAME,
    "description": _TEXT,
    "type": _TYPE,
    "operators": _TEXTS,
    "required": _TEXTS,
    "readonly": _FLAG,
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "maxLength": _COUNT,
    "minLength": _COUNT,
    "pattern": {"type": "string", "format": "regex"},
    "enum": {"type": "array"},
    "default": {},
    "items": {"type": "object", "properties": {"type": _TYPE, "enum": {"type": "array"}}},
    "maxItems": _COUNT,
    "minItems": _COUNT,
    "uniqueItems": _FLAG,
    "additionalItems": _FLAG,
}
_DEFINITIONS: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"type": "object", "properties": _DEFINITION, "required": ["title", "type"]},
}


def _schema(name: str, properties: Schema, *required: str) -> Schema:
    return {"name": name, "properties": properties, "required": list(required), "additionalProperties": False}


def _list(name: str, one: Schema) -> Schema:
    links = {"first": _TEXT, "next": _TEXT, "schema": _TEXT}
    return {"name": name, "properties": {name: {"type": "array", "items": one}, **links}}


_PROPERTY: Final = _schema("property", {"name": _NAME, **_DEFINITION}, "name", "title", "type")
_OBJECT: Final = _schema(
    "object",
    {"name": _NAME, "description": _DESCRIPTION, "required": _TEXTS, "properties": _DEFINITIONS, **_TIMES, **_LINKS},
    "name",
)
_TAG: Final = _schema("tag", {"name": _NAME, **_TIMES}, "name")
_ASSOCIATION: Final = _schema(
    "resource_type_association", {"name": _NAME, "prefix": _NAME, "properties_target": _NAME, **_TIMES}, "name"
)
_NAMESPACE: Final = _schema(
    "namespace",
    {
        "namespace": _NAME,
        "display_name": _NAME,
        "description": _DESCRIPTION,
        "visibility": {"type": "string", "enum": [each.value for each in Visibility]},
        "protected": _FLAG,
        "owner": {"type": "string", "maxLength": OWNER_CHARS_MAX},
        **_TIMES,
        **_LINKS,
        "resource_type_associations": {"type": "array", "items": _ASSOCIATION},
        "properties": _DEFINITIONS,
        "objects": {"type": "array", "items": _OBJECT},
        "tags": {"type": "array", "items": _TAG},
    },
    "namespace",
)

SCHEMAS: Final[dict[str, Schema]] = {
    "namespace": _NAMESPACE,
    "namespaces": _list("namespaces", _NAMESPACE),
    "property": _PROPERTY,
    "properties": {
        "name": "properties",
        "properties": {"properties": _DEFINITIONS, "schema": _TEXT},
    },
    "object": _OBJECT,
    "objects": _list("objects", _OBJECT),
    "tag": _TAG,
    "tags": _list("tags", _TAG),
    "resource_type": _ASSOCIATION,
    "resource_types": _list("resource_type_associations", _ASSOCIATION),
}
