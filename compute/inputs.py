"""What a Nova client may write in a body: numbers also as text, booleans also as words, names by their rules."""

from collections.abc import Mapping

import msgspec

from noded.core.errors import Invalid

NAME_LENGTH_MAX = 255
_TRUE = {"1", "t", "true", "on", "y", "yes"}
_FALSE = {"0", "f", "false", "off", "n", "no"}

Number = int | str
Flag = bool | str


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a request body: a field that the API doesn't know is refused."""


def number(value: Number, field: str, *, lowest: int = 0, highest: int = 2**31 - 1) -> int:
    """`value` as a whole number within its limits; raises `Invalid`."""
    if isinstance(value, bool):
        raise Invalid(f"Invalid input for field/attribute {field}. Value: {value}. It must be a whole number.")
    text = str(value)
    if not text.isascii() or not text.removeprefix("-").isdecimal() or len(text) > 20:
        raise Invalid(f"Invalid input for field/attribute {field}. Value: {text[:64]}. It must be a whole number.")
    if not lowest <= int(text) <= highest:
        raise Invalid(
            f"Invalid input for field/attribute {field}. Value: {text}. It must be from {lowest} to {highest}."
        )
    return int(text)


def flag(value: Flag, field: str) -> bool:
    """`value` as yes or no; raises `Invalid`."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Invalid(f"Invalid input for field/attribute {field}. Value: {value[:64]}. It must be true or false.")


def name(value: str, field: str = "name") -> str:
    """`value` if it is a name: 1 to 255 printable characters that neither begin nor end with space."""
    if not value or len(value) > NAME_LENGTH_MAX:
        raise Invalid(
            f"Invalid input for field/attribute {field}. A name has 1 to {NAME_LENGTH_MAX} characters;"
            f" this one has {len(value)}."
        )
    if value != value.strip() or not value.isprintable():
        raise Invalid(
            f"Invalid input for field/attribute {field}. Value: {value!r}. A name has printable characters only and"
            " neither begins nor ends with space."
        )
    return value


def description(value: str | None) -> str | None:
    """`value` if it is a description: up to 255 characters."""
    if value is not None and (len(value) > NAME_LENGTH_MAX or not (value + "x").replace("\n", "").isprintable()):
        raise Invalid(
            f"Invalid input for field/attribute description. It has at most {NAME_LENGTH_MAX} printable characters."
        )
    return value


def allowed_since(body: Body, since: Mapping[str, tuple[int, int]], version: tuple[int, int]) -> None:
    """Refuse the fields of `body` that the asked microversion did not have yet."""
    for field in msgspec.structs.fields(body):
        first = since.get(field.encode_name)
        if first is not None and version < first and getattr(body, field.name) is not msgspec.UNSET:
            raise Invalid(
                f"Additional properties are not allowed ('{field.encode_name}' was unexpected); it is understood from"
                f" microversion {first[0]}.{first[1]} on."
            )
