"""What images and image members look like, as JSON schemas: clients check by them what they are about to send."""

from typing import Final

from images.catalog.forms import TEXT_CHARS_MAX
from images.catalog.model import CONTAINER_FORMATS, DISK_FORMATS, Visibility
from images.catalog.views import STATUSES

Schema = dict[str, object]

_READ_ONLY: Final[Schema] = {"readOnly": True}


def _text(description: str, **more: object) -> Schema:
    return {"type": "string", "description": description, **more}


def _maybe(kind: str, description: str, **more: object) -> Schema:
    return {"type": ["null", kind], "description": description, **more}


IMAGE: Final[Schema] = {
    "name": "image",
    "properties": {
        "id": _text(
            "An identifier for the image",
            pattern="^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$",
        ),
        "name": _maybe("string", "Descriptive name for the image", maxLength=TEXT_CHARS_MAX),
        "status": _text("Status of the image", enum=list(STATUSES), **_READ_ONLY),
        "visibility": _text("Scope of image accessibility", enum=[each.value for each in Visibility]),
        "protected": {"type": "boolean", "description": "If true, image will not be deletable."},
        "os_hidden": {"type": "boolean", "description": "If true, image will not appear in default image list."},
        "checksum": _maybe("string", "md5 hash of image contents.", maxLength=32, **_READ_ONLY),
        "os_hash_algo": _maybe("string", "Algorithm to calculate os_hash_value", maxLength=64, **_READ_ONLY),
        "os_hash_value": _maybe("string", "Digest of the image contents", maxLength=128, **_READ_ONLY),
        "owner": _maybe("string", "Owner of the image", maxLength=TEXT_CHARS_MAX),
        "size": _maybe("integer", "Size of image file in bytes", **_READ_ONLY),
        "virtual_size": _maybe("integer", "Virtual size of image in bytes", **_READ_ONLY),
        "container_format": _maybe("string", "Format of the container", enum=[None, *CONTAINER_FORMATS]),
        "disk_format": _maybe("string", "Format of the disk", enum=[None, *DISK_FORMATS]),
        "created_at": _text("Date and time of image registration", **_READ_ONLY),
        "updated_at": _text("Date and time of the last image modification", **_READ_ONLY),
        "tags": {
            "type": "array",
            "description": "List of strings related to the image",
            "items": {"type": "string", "maxLength": TEXT_CHARS_MAX},
        },
        "min_ram": {"type": "integer", "description": "Amount of ram (in MB) required to boot image."},
        "min_disk": {"type": "integer", "description": "Amount of disk space (in GB) required to boot image."},
        "self": _text("An image self url", **_READ_ONLY),
        "file": _text("An image file url", **_READ_ONLY),
        "schema": _text("An image schema url", **_READ_ONLY),
        "stores": _text("Stores that have the image's data", **_READ_ONLY),
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}

MEMBER: Final[Schema] = {
    "name": "member",
    "properties": {
        "member_id": _text("An identifier for the image member (tenantId)"),
        "image_id": _text("An identifier for the image"),
        "status": _text("The status of this image member", enum=["pending", "accepted", "rejected"]),
        "created_at": _text("Date and time of image member creation"),
        "updated_at": _text("Date and time of last modification of image member"),
        "schema": _text("A member schema url", **_READ_ONLY),
    },
}


def _collection(name: str, item: Schema) -> Schema:
    return {
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


TASK: Final[Schema] = {
    "name": "task",
    "properties": {
        "id": _text("An identifier for the task"),
        "type": _text("The type of task represented by this content", enum=["import"]),
        "status": _text("The current status of this task", enum=["pending", "processing", "success", "failure"]),
        "input": _maybe("object", "The parameters required by task, JSON blob"),
        "result": _maybe("object", "The result of current task, JSON blob"),
        "owner": _text("An identifier for the owner of this task"),
        "message": _text("Human-readable informative message only included when appropriate (usually on failure)"),
        "image_id": _text("Image associated with the task"),
        "request_id": _text("Human-readable informative request-id"),
        "user_id": _text("User associated with the task"),
        "expires_at": _maybe("string", "Datetime when this resource would be subject to removal"),
        "created_at": _text("Datetime when this resource was created"),
        "updated_at": _text("Datetime when this resource was updated"),
        "self": _text("A task self url", **_READ_ONLY),
        "schema": _text("A task schema url", **_READ_ONLY),
    },
}

SCHEMAS: Final[dict[str, Schema]] = {
    "image": IMAGE,
    "images": _collection("images", IMAGE),
    "member": MEMBER,
    "task": TASK,
    "tasks": _collection("tasks", TASK),
    "members": {
        "name": "members",
        "properties": {
            "members": {"type": "array", "items": MEMBER},
            "schema": {"type": "string"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
    },
}
