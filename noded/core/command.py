"""What a change is before, in and after the log."""

from typing import ClassVar

import msgspec

from noded.core.store import Transaction


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="$", forbid_unknown_fields=False):
    """A complete order. Ids, times, random numbers and chosen nodes are in it, picked before the log.

    `apply` is pure and total: it changes `tx` or raises `Refused`; any other exception is a bug and is applied as
    nothing, alike on every node. Tags are `service.verb.version`, append-only: what a tag means never changes.
    """

    SINCE_LEVEL: ClassVar[int] = 1  # the release level from which every member understands this tag

    def apply(self, tx: Transaction) -> None:
        """Make the change, or raise `Refused` and change nothing."""
        raise NotImplementedError(type(self).__name__)
