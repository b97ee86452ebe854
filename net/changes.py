"""Which fields of a record a change sets. A change is a struct whose fields are unset unless they are to change."""

from typing import TypeVar

import msgspec
from msgspec import UNSET

from noded.core.errors import Kind, Refused

CHANGED_MEANWHILE = "RevisionNumberConstraintFailed"

R = TypeVar("R", bound=msgspec.Struct)


def changed(record: R, change: msgspec.Struct, now_ms: int) -> R:
    """`record` with the set fields of `change`, a new time and the next generation."""
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not UNSET}
    generation = getattr(record, "generation", 0) + 1
    return msgspec.structs.replace(record, **given, updated_ms=now_ms, generation=generation)


def check_generation(record: msgspec.Struct, expected: int | None) -> None:
    """Refuse a change that was worked out from another generation of the record than there is now."""
    generation = getattr(record, "generation", None)
    if expected not in (None, generation):
        raise Refused(
            f"The resource has changed meanwhile: it is at revision {generation}, not {expected}. Read it again.",
            code=CHANGED_MEANWHILE,
            kind=Kind.PRECONDITION,
        )
