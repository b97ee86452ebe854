"""What a Neutron client may write in a body: flags also as words, names with their rules, whose project. Pure."""

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from net.addresses import parse_address
from noded.core.errors import Forbidden, Invalid
from noded.core.ids import ProjectId
from noded.core.route import Caller

T = TypeVar("T")

TEXT_LENGTH_MAX = 255
ITEMS_MAX = 100  # resources in one request that makes several
LIST_MAX = 64  # entries of one list inside a resource
TAGS_MAX = 50
TAG_LENGTH_MAX = 60

Flag = bool | int | str

_TRUE = {"true", "1"}
_FALSE = {"false", "0"}
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a request body: a field that the API doesn't know is refused."""


def invalid(field: str, reason: str) -> Invalid:
    """Neutron's sentence for a value that a field can't have."""
    return Invalid(f"Invalid input for {field}. Reason: {reason}.", code="HTTPBadRequest")


def text(value: str, field: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    """`value` if it is no longer than its field may be."""
    if len(value) > length_max:
        raise invalid(field, f"'{value[:32]}…' exceeds maximum length of {length_max}")
    if "\x00" in value:
        raise invalid(field, "it contains a NUL character")
    return value


def flag(value: Flag | UnsetType, field: str, *, default: bool = False) -> bool:
    """`value` as yes or no, `default` where it was left out; raises `Invalid`."""
    if isinstance(value, UnsetType):
        return default
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise invalid(field, f"'{word[:64]}' cannot be converted to boolean")


def maybe_text(value: str | UnsetType, field: str) -> str | UnsetType:
    """A text that may be left out."""
    return value if isinstance(value, UnsetType) else text(value, field)


def maybe_flag(value: Flag | UnsetType, field: str) -> bool | UnsetType:
    """A flag that may be left out."""
    return value if isinstance(value, UnsetType) else flag(value, field)


def given(value: T | UnsetType, default: T) -> T:
    """`value`, or `default` where it was left out."""
    return default if isinstance(value, UnsetType) else value


def limited(values: Sequence[T], field: str) -> Sequence[T]:
    """`values` if they are no more than a list may have."""
    if len(values) > LIST_MAX:
        raise invalid(field, f"it has {len(values)} entries; at most {LIST_MAX} are allowed")
    return values


def mac(value: str, field: str = "mac_address") -> str:
    """`value` as a lower-case unicast MAC address."""
    lowered = value.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(lowered) or lowered == "00:00:00:00:00:00" or int(lowered[:2], 16) & 1:
        raise invalid(field, f"'{value[:64]}' is not a valid MAC address")
    return lowered


def address(value: str, field: str) -> str:
    """`value` as an IPv4 address in its usual form."""
    parsed = parse_address(value)
    if parsed is None:
        raise invalid(field, f"'{value[:64]}' is not a valid IP address")
    return str(parsed)


def tag(value: str) -> str:
    """`value` if a tag may read so."""
    if not value or len(value) > TAG_LENGTH_MAX or "," in value or "/" in value:
        raise invalid("tags", f"'{value[:64]}': a tag has 1 to {TAG_LENGTH_MAX} characters, without , and /")
    return value


def tags(values: Sequence[str]) -> tuple[str, ...]:
    """`values` as a set of tags, in one order everywhere."""
    if len(set(values)) > TAGS_MAX:
        raise invalid("tags", f"there are more than {TAGS_MAX}")
    return tuple(sorted({tag(value) for value in values}))


def several(one: T | UnsetType, many: list[T] | UnsetType, names: tuple[str, str]) -> list[T]:
    """The resources of a body that has either one or a list of them."""
    if isinstance(many, UnsetType):
        if isinstance(one, UnsetType):
            raise Invalid(f"Unable to find '{names[0]}' in request body", code="HTTPBadRequest")
        return [one]
    if one is not UNSET or not many or len(many) > ITEMS_MAX:
        raise Invalid(
            f"A request has either '{names[0]}' or 1 to {ITEMS_MAX} entries in '{names[1]}'.", code="HTTPBadRequest"
        )
    return many


def project(caller: Caller, project_id: str | UnsetType, tenant_id: str | UnsetType) -> ProjectId:
    """Whose the new resource is: the caller's project, or for an administrator the one that the body names."""
    asked = project_id if project_id is not UNSET else tenant_id
    if isinstance(asked, UnsetType) or asked == caller.project_id:
        return caller.project
    if not caller.is_admin:
        raise Forbidden("Only an administrator may make a resource for another project.", code="PolicyNotAuthorized")
    return ProjectId(text(asked, "project_id"))


def admin_only(caller: Caller, field: str) -> None:
    """Refuse a field that only an administrator may set."""
    if not caller.is_admin:
        raise Forbidden(f"({field}) may be set by an administrator only.", code="PolicyNotAuthorized")
