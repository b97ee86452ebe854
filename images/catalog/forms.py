"""What a user may write on an image: JSON in, an `ImageForm` out, or a refusal that names the key."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from images.catalog.commands import ImageForm
from images.catalog.model import CONTAINER_FORMATS, DISK_FORMATS, Visibility
from images.catalog.views import BASE_KEYS
from noded.core.errors import Forbidden, Invalid, TooLarge
from noded.core.ids import ProjectId
from noded.core.route import Caller

TEXT_CHARS_MAX: Final = 255
PROPERTY_CHARS_MAX: Final = 65_535
TAGS_MAX: Final = 128
PROPERTIES_MAX: Final = 128
WHOLE_MAX: Final = 2**31 - 1

UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_READ_ONLY: Final = frozenset({
    "id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at",
    "self", "file", "schema", "direct_url", "stores",
})  # fmt: skip
_RESERVED: Final = frozenset({"locations", "deleted", "deleted_at"})
_RESERVED_PREFIX: Final = "os_glance_"


def image_id_of(value: object) -> str:
    """An id that the user chose for a new image."""
    if not isinstance(value, str) or UUID.fullmatch(value) is None:
        raise Invalid(
            "Invalid image id format: an id is a UUID in lower case, such as 12345678-1234-1234-1234-123456789abc."
        )
    return value


def set_key(form: ImageForm, key: str, value: object, caller: Caller) -> ImageForm:
    """`form` with one key written. Raises `Invalid`, or `Forbidden` for a key that this caller may not write."""
    check_writable(key)
    if key == "owner":
        return replace(form, project_id=_owner(value, form, caller))
    if key == "visibility":
        return replace(form, visibility=_visibility(value, form, caller))
    if key in _FIELDS:
        field, parse = _FIELDS[key]
        return replace(form, **{field: parse(key, value)})
    return replace(form, properties=_with_property(form.properties, key, value))


def remove_key(form: ImageForm, key: str) -> ImageForm:
    """`form` without a property. Raises `Forbidden` for what every image has."""
    check_writable(key)
    if key in BASE_KEYS:
        raise Forbidden(f"Property {key} may not be removed.")
    return replace(form, properties={name: value for name, value in form.properties.items() if name != key})


def check_writable(key: str) -> None:
    """Raise `Forbidden` for keys that nobody writes."""
    if key in _READ_ONLY:
        raise Forbidden(f"Attribute '{key}' is read-only.")
    if key in _RESERVED or key.startswith(_RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{key[:TEXT_CHARS_MAX]}' is reserved.")


def tag_of(value: object) -> str:
    """One tag."""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX:
        raise Invalid(f"A tag has 1 to {TEXT_CHARS_MAX} characters.")
    return value


def tags_of(value: object) -> tuple[str, ...]:
    """Tags, each once."""
    if not isinstance(value, list):
        raise Invalid("tags must be a list of texts.")
    tags = tuple(dict.fromkeys(tag_of(tag) for tag in value))
    if len(tags) > TAGS_MAX:
        raise TooLarge(f"An image has at most {TAGS_MAX} tags, not {len(tags)}.")
    return tags


def _with_property(properties: Mapping[str, str], key: str, value: object) -> dict[str, str]:
    if not 0 < len(key) <= TEXT_CHARS_MAX:
        raise Invalid(f"The name of a property has 1 to {TEXT_CHARS_MAX} characters.")
    if not isinstance(value, str) or len(value) > PROPERTY_CHARS_MAX:
        raise Invalid(f"The value of property {key} must be a text of at most {PROPERTY_CHARS_MAX} characters.")
    changed = {**properties, key: value}
    if len(changed) > PROPERTIES_MAX:
        raise TooLarge(f"An image has at most {PROPERTIES_MAX} properties.")
    return changed


def _owner(value: object, form: ImageForm, caller: Caller) -> ProjectId:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX:
        raise Invalid("owner must be the id of a project.")
    if value != form.project_id and not caller.is_admin:
        raise Forbidden("Only an administrator may make another project the owner of an image.")
    return ProjectId(value)


def _visibility(value: object, form: ImageForm, caller: Caller) -> Visibility:
    try:
        visibility = Visibility(str(value))
    except ValueError:
        raise Invalid(f"visibility is one of {', '.join(Visibility)}, not {str(value)[:TEXT_CHARS_MAX]}.") from None
    if visibility is Visibility.PUBLIC and form.visibility is not Visibility.PUBLIC and not caller.is_admin:
        raise Forbidden("You are not authorized to complete publicize_image action: it needs the role admin.")
    return visibility


def _text(key: str, value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or len(value) > TEXT_CHARS_MAX):
        raise Invalid(f"{key} must be a text of at most {TEXT_CHARS_MAX} characters, or null.")
    return value


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false.")
    return value


def _whole(key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= WHOLE_MAX:
        raise Invalid(f"{key} must be a whole number from 0 to {WHOLE_MAX}.")
    return value


def _one_of(choices: tuple[str, ...]) -> Callable[[str, object], str | None]:
    def parse(key: str, value: object) -> str | None:
        if value is not None and value not in choices:
            raise Invalid(
                f"Invalid {key} '{str(value)[:TEXT_CHARS_MAX]}' for image: it is one of {', '.join(choices)}."
            )
        return value if value is None else str(value)

    return parse


def _tags(key: str, value: object) -> tuple[str, ...]:  # noqa: ARG001  # all parsers are called alike
    return tags_of(value)


_FIELDS: Final[dict[str, tuple[str, Callable[[str, object], object]]]] = {
    "name": ("name", _text),
    "protected": ("protected", _flag),
    "os_hidden": ("hidden", _flag),
    "disk_format": ("disk_format", _one_of(DISK_FORMATS)),
    "container_format": ("container_format", _one_of(CONTAINER_FORMATS)),
    "min_disk": ("min_disk_gib", _whole),
    "min_ram": ("min_ram_mib", _whole),
    "tags": ("tags", _tags),
}
