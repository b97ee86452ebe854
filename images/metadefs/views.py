"""How metadata definitions look in Glance's API."""

from typing import Final
from urllib.parse import quote

import msgspec

from images.metadefs.model import Association, Group, Namespace, Property, Tag
from noded.core.times import zulu

PATH: Final = "/v2/metadefs/namespaces"
SCHEMA_PATH: Final = "/v2/schemas/metadefs"

Json = dict[str, object]


def namespace_view(namespace: Namespace) -> Json:
    """A namespace as lists show it: what it is for, without what is defined in it."""
    body: Json = {
        "namespace": namespace.name,
        "display_name": namespace.display_name,
        "description": namespace.description,
        "visibility": namespace.visibility.value,
        "protected": namespace.protected,
        "owner": namespace.project_id,
        **_times(namespace),
        **_links("namespace", namespace.name),
    }
    if namespace.associations:
        body["resource_type_associations"] = associations_view(namespace)
    return {key: value for key, value in body.items() if value is not None}


def whole_view(namespace: Namespace, prefix: str) -> Json:
    """A namespace with all that is defined in it; `prefix` stands before the properties' names."""
    body = namespace_view(namespace)
    if namespace.properties:
        body["properties"] = properties_view(namespace, prefix)
    if namespace.objects:
        body["objects"] = [object_view(namespace, name) for name in namespace.objects]
    if namespace.tags:
        body["tags"] = [tag_view(name, tag) for name, tag in namespace.tags.items()]
    return body


def properties_view(namespace: Namespace, prefix: str = "") -> Json:
    """Every property, by name."""
    return {prefix + name: property_view(prefix + name, each) for name, each in namespace.properties.items()}


def property_view(name: str, definition: Property) -> Json:
    """One property."""
    body: Json = msgspec.to_builtins(definition)
    return {"name": name, **body}


def object_view(namespace: Namespace, name: str) -> Json:
    """One object."""
    group = namespace.objects[name]
    body: Json = {
        "name": name,
        "description": group.description,
        "required": list(group.required),
        "properties": {each: property_view(each, definition) for each, definition in group.properties.items()},
        **_times(group),
        **_links("object", namespace.name, "objects", name),
    }
    return {key: value for key, value in body.items() if value is not None}


def tag_view(name: str, tag: Tag) -> Json:
    """One tag."""
    return {"name": name, **_times(tag)}


def associations_view(namespace: Namespace) -> list[Json]:
    """The types of things that the namespace is for."""
    return [association_view(name, each) for name, each in namespace.associations.items()]


def association_view(name: str, link: Association) -> Json:
    """One of them."""
    body: Json = {"name": name, "prefix": link.prefix, "properties_target": link.properties_target, **_times(link)}
    return {key: value for key, value in body.items() if value is not None}


def _times(thing: Namespace | Group | Association | Tag) -> Json:
    return {"created_at": zulu(thing.created_at_ms), "updated_at": zulu(thing.updated_at_ms)}


def _links(schema: str, *path: str) -> Json:
    return {"self": "/".join((PATH, *(quote(part, safe="") for part in path))), "schema": f"{SCHEMA_PATH}/{schema}"}
