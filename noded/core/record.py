"""What a row of the replicated store is.

A record is a frozen struct with a tag `table.version` (`server.1`). The table is the part before the dot; the version
grows only when old bytes can no longer be read with defaults, and then a reader for the old one stays.
"""

from functools import cache
from typing import Any, ClassVar

import msgspec

from noded.core.secrecy import shown, visible


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="$", forbid_unknown_fields=False):
    """One row. Subclasses give a tag, an `id`, and the fields by which they are looked up.

    Records refer to nothing that refers back to them, so the cycle collector need not look at them: there may be many.
    `INDEXED` names fields whose value (or, for a tuple, whose elements) the store keeps an index of: `view.find`.
    `NOUN` is what messages call it.
    """

    INDEXED: ClassVar[tuple[str, ...]] = ()
    NOUN: ClassVar[str] = "record"

    id: str

    def __repr__(self) -> str:
        """The record with its secrets hidden, for whatever prints it."""
        return shown(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for rich, which would otherwise read the fields."""
        return visible(self)


@cache
def table_of(kind: type[Record]) -> str:
    """The table in which records of `kind` live: its tag without the version."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str), f"{kind.__name__} has no tag"
    assert "." in tag, f"{kind.__name__}: a tag is table.version, not {tag}"
    return tag.rsplit(".", 1)[0]
