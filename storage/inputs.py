"""What a Cinder client may write in a body: numbers also as text, flags also as words, names by their rules. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from noded.core.errors import Invalid
from noded.core.route import Caller

TEXT_CHARS_MAX: Final = 255
ITEMS_MAX: Final = 128  # metadata items, extra specs, specs of a quality of service
_TRUE: Final = {"1", "t", "true", "on", "y", "yes"}
_FALSE: Final = {"0", "f", "false", "off", "n", "no"}

Flag = bool | int | str
Number = int | str
Plain = str | int | float | bool  # what may stand for a text in extra specs


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a request body: a field that the API doesn't know is refused."""


def text(value: str | None, field: str, *, length_max: int = TEXT_CHARS_MAX) -> str:
    """`value`, or an empty text, if it is no longer than its field may be."""
    if value is not None and len(value) > length_max:
        raise Invalid(
            f"Invalid input for field/attribute {field}. It has {len(value)} characters; at most {length_max} are"
            " allowed."
        )
    return value or ""


def name(value: str, field: str = "name") -> str:
    """`value` without the space round it, if it is a name: 1 to 255 characters."""
    stripped = value.strip()
    if not stripped:
        raise Invalid(f"Invalid input for field/attribute {field}. A {field} has 1 to {TEXT_CHARS_MAX} characters.")
    return text(stripped, field)


def flag(value: Flag, field: str) -> bool:
    """`value` as yes or no; raises `Invalid`."""
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Invalid(f"Invalid input for field/attribute {field}. Value: {word[:64]}. It must be true or false.")


def everyones(caller: Caller, query: Mapping[str, str]) -> bool:
    """Whether a list is of all projects: an administrator asks for it."""
    asked = query.get("all_tenants", query.get("all_projects"))
    return asked is not None and flag(asked or "true", "all_tenants") and caller.is_admin


def number(value: Number, field: str, *, lowest: int = 0, highest: int = 2**31 - 1) -> int:
    """`value` as a whole number within its limits; raises `Invalid`."""
    written = str(value).strip()
    if isinstance(value, bool) or not written.isascii() or not written.removeprefix("-").isdecimal():
        raise Invalid(f"Invalid input for field/attribute {field}. Value: {written[:64]}. It must be a whole number.")
    if len(written) > 20 or not lowest <= int(written) <= highest:
        raise Invalid(
            f"Invalid input for field/attribute {field}. Value: {written[:64]}. It must be from {lowest} to {highest}."
        )
    return int(written)


def metadata(items: Mapping[str, str | None], what: str = "metadata") -> dict[str, str]:
    """Words on a resource: keys of 1 to 255 characters, values of at most as many."""
    if len(items) > ITEMS_MAX:
        raise Invalid(f"There are {len(items)} items of {what}; at most {ITEMS_MAX} are allowed.")
    for key, value in items.items():
        if not 0 < len(key) <= TEXT_CHARS_MAX:
            raise Invalid(f"Metadata property key {key[:32]!r} has {len(key)} characters; it must have 1 to 255.")
        if len(value or "") > TEXT_CHARS_MAX:
            raise Invalid(f"Metadata property value of {key[:32]!r} has more than {TEXT_CHARS_MAX} characters.")
    return {key: value or "" for key, value in items.items()}


def specs(items: Mapping[str, Plain], what: str) -> dict[str, str]:
    """Extra specs or specs of a quality of service: keys without odd characters, values as texts."""
    for key in items:
        if not key or not all(char.isalnum() or char in " .-_:" for char in key):
            raise Invalid(f"Key {key[:64]!r} of {what} may have letters, digits, space and any of . - _ : only.")
    return metadata({key: str(value) for key, value in items.items()}, what)


def pairs(written: str, field: str) -> dict[str, str]:
    """`{'key': 'value'}` in a query, as clients write it: Python's notation, not JSON's."""
    parts = [part.partition(":") for part in written.strip().removeprefix("{").removesuffix("}").split(",") if part]
    if any(not colon for _, colon, _ in parts):
        raise Invalid(f"{field} must look like {{'key': 'value'}}, not {written[:64]}.")
    return {_bare(key): _bare(value) for key, _, value in parts}


def _bare(word: str) -> str:
    word = word.strip()
    return word.removeprefix("u").strip("'\"") if word[:2] in ("u'", 'u"') else word.strip("'\"")
