"""How is an identity resource read from a request? Known attributes are checked, unknown ones kept, as Keystone does.

(Identity API v3: domains, projects, users and roles take additional attributes and give them back.)
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec

from noded.core.errors import Forbidden, Invalid
from noded.core.record import Record
from noded.identity.model import Extra, Options

T = TypeVar("T", bound=msgspec.Struct)
R = TypeVar("R", bound=Record)

Name64 = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"\S")]
Name255 = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"\S")]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=225, pattern=r"^[a-zA-Z0-9+.-]+:.+")]
Text = Annotated[str, msgspec.Meta(max_length=16_384)]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^,/]*$")]
Tags = Annotated[tuple[Tag, ...], msgspec.Meta(max_length=80)]
Method = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
MultiFactorRules = Annotated[
    tuple[Annotated[tuple[Method, ...], msgspec.Meta(min_length=1, max_length=8)], ...], msgspec.Meta(max_length=16)
]

EXTRA_BYTES_MAX: Final = 16 * 1024
_NEVER_KEPT: Final = frozenset({"id", "links", "options", "password", "original_password", "is_domain"})


def read(attributes: Mapping[str, Any], form: type[T]) -> tuple[T, Extra]:
    """The known attributes as `form`, and the others. Raises `Invalid` that names the attribute."""
    try:
        known = msgspec.convert(attributes, form)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"Invalid input: {wrong}.") from None
    names = set(form.__struct_fields__) | _NEVER_KEPT
    extra = {name: value for name, value in attributes.items() if name not in names}
    if len(msgspec.json.encode(extra)) > EXTRA_BYTES_MAX:
        raise Invalid(f"The additional attributes are longer than {EXTRA_BYTES_MAX} bytes of JSON.")
    return known, extra


def merged(before: Extra, change: Extra) -> Extra:
    """Additional attributes after an update; null takes one away."""
    return {name: value for name, value in {**before, **change}.items() if value is not None}


def told_options(form: msgspec.Struct | msgspec.UnsetType) -> Options:
    """The options that a request names, as a command carries them."""
    return {} if isinstance(form, msgspec.UnsetType) else given(form)


def changed(before: R, change: msgspec.Struct, extra: Extra) -> R:
    """The record with every attribute that the change names, so that two changes at once both count."""
    names = set(before.__struct_fields__) - {"id", "extra", "options"}
    values = {name: value for name, value in given(change).items() if name in names}
    return msgspec.structs.replace(before, **values, extra=extra)


class ResourceOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a domain, a project or a role; null takes one away."""

    immutable: bool | msgspec.UnsetType | None = msgspec.UNSET


class UserOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a user; null takes one away."""

    ignore_change_password_upon_first_use: bool | msgspec.UnsetType | None = msgspec.UNSET
    ignore_password_expiry: bool | msgspec.UnsetType | None = msgspec.UNSET
    ignore_lockout_failure_attempts: bool | msgspec.UnsetType | None = msgspec.UNSET
    ignore_user_inactivity: bool | msgspec.UnsetType | None = msgspec.UNSET
    lock_password: bool | msgspec.UnsetType | None = msgspec.UNSET
    multi_factor_auth_enabled: bool | msgspec.UnsetType | None = msgspec.UNSET
    multi_factor_auth_rules: MultiFactorRules | msgspec.UnsetType | None = msgspec.UNSET


def expect_mutable(record: Record, options: Options, change: msgspec.Struct | None, extra: Extra) -> None:
    """Raises `Forbidden` where the option `immutable` forbids it; taking that option away is allowed, alone.

    `change` None: the record shall be deleted.
    """
    if not options.get("immutable"):
        return
    if change is None:
        raise Forbidden(
            f'The immutable {record.NOUN} resource `{record.id}` can\'t be deleted. Set its resource option "immutable"'
            " to false first."
        )
    values = given(change)
    named = {name for name in values if name != "options" and not name.endswith("_id") and name != "extra"}
    if named or extra or values.get("options", {}).get("immutable", True):
        raise Forbidden(
            f'The immutable {record.NOUN} resource `{record.id}` can\'t be changed. Set its resource option "immutable"'
            " to false first."
        )


def given(form: msgspec.Struct) -> dict[str, Any]:
    """The attributes that an update names."""
    values = {name: getattr(form, name) for name in form.__struct_fields__}
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


def truth(word: str) -> bool:
    """A yes or no in a query: Keystone takes everything but these for yes."""
    return word.lower() not in {"0", "false", "no", "off", "f", "n"}
