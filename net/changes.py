"""Which fields of a record a change sets. A change is a struct whose fields are unset unless they are to change."""

from typing import TypeVar

import msgspec
from msgspec import UNSET

R = TypeVar("R", bound=msgspec.Struct)


def changed(record: R, change: msgspec.Struct, now_ms: int) -> R:
    """`record` with the set fields of `change`, a new time and the next generation."""
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not UNSET}
    generation = getattr(record, "generation", 0) + 1
    return msgspec.structs.replace(record, **given, updated_ms=now_ms, generation=generation)
