"""What a JSON patch does to an image (RFC 6902 as Glance limits it: add, replace and remove of top-level keys)."""

from collections.abc import Mapping, Sequence
from typing import Final

from images.catalog.commands import ImageForm
from images.catalog.forms import check_writable, remove_key, set_key
from images.catalog.views import BASE_KEYS, DERIVED_KEYS
from noded.core.errors import Conflict, Invalid
from noded.core.route import Caller

MEDIA_TYPES: Final = (
    "application/openstack-images-v2.1-json-patch",
    "application/openstack-images-v2.0-json-patch",
)
CHANGES_MAX: Final = 256


def patched(form: ImageForm, changes: Sequence[Mapping[str, object]], caller: Caller) -> ImageForm:
    """`form` after every change, in order. Raises `Refused` at the first that can't be made."""
    if len(changes) > CHANGES_MAX:
        raise Invalid(f"A patch has at most {CHANGES_MAX} changes, not {len(changes)}.")
    for change in changes:
        form = _one(form, change, caller)
    return form


def _one(form: ImageForm, change: Mapping[str, object], caller: Caller) -> ImageForm:
    verb, key = _verb(change), _key(change)
    if verb == "remove" and key in DERIVED_KEYS:
        return form  # whoever writes an image anew leaves out what it doesn't know, openstacksdk among them
    check_writable(key)
    known = key in BASE_KEYS or key in form.properties
    if verb == "remove":
        if not known:
            raise Conflict(f"Property {key} does not exist.")
        return remove_key(form, key)
    if "value" not in change:
        raise Invalid(f'Operation "{verb}" requires a member named "value".')
    if verb == "replace" and not known:
        raise Conflict(f"Property {key} does not exist.")
    return set_key(form, key, change["value"], caller)


def _verb(change: Mapping[str, object]) -> str:
    # The older media type names the verb as the key: {"replace": "/name", "value": "new"}.
    verb = change.get("op") or next((word for word in ("add", "replace", "remove") if word in change), None)
    if verb not in ("add", "replace", "remove"):
        raise Invalid(f"Operations must be one of add, replace and remove, not {str(verb)[:64]}.")
    return str(verb)


def _key(change: Mapping[str, object]) -> str:
    path = change.get("path", change.get(_verb(change)))
    if not isinstance(path, str) or not path.startswith("/"):
        raise Invalid(f"Invalid JSON pointer {str(path)[:64]}: it begins with /.")
    key = path[1:].removesuffix("/")
    if not key or "/" in key:
        raise Invalid(f"Invalid JSON pointer {path[:64]}: it names one key of the image.")
    return key.replace("~1", "/").replace("~0", "~")
