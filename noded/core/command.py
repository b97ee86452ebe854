"""What a change is before, in and after the log."""

from typing import Any, ClassVar

import msgspec

from noded.core.secrecy import shown, visible
from noded.core.store import Transaction


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="$", forbid_unknown_fields=False):
    """A complete order. Ids, times, random numbers and chosen nodes are in it, picked before the log.

    `apply` is pure and total: it changes `tx` or raises `Refused`; any other exception is a bug and is applied as
    nothing, alike on every node. Tags are `service.verb.version`, append-only: what a tag means never changes.
    """

    # What it did, in an operator's words, as history says it; `{field}` or `{form[name]}` is filled in.
    TOLD: ClassVar[str] = ""
    SINCE_LEVEL: ClassVar[int] = 1  # the release level from which every member understands this tag
    FREES_ROOM: ClassVar[bool] = False  # it makes the state smaller: let through although the log's disks are short

    def apply(self, tx: Transaction) -> None:
        """Make the change, or raise `Refused` and change nothing."""
        raise NotImplementedError(type(self).__name__)

    def __repr__(self) -> str:
        """The command with its secrets hidden, for whatever prints it."""
        return shown(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for rich, which would otherwise read the fields."""
        return visible(self)
