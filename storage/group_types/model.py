"""What a group type is: a kind of groups of volumes, and what its groups can do."""

from typing import ClassVar, Final

import msgspec

from noded.core.record import Record

SPECS_MAX: Final = 128


class GroupType(Record, frozen=True, kw_only=True, tag="group_type.1"):
    """A kind of groups. Groups keep its id."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name",)
    NOUN: ClassVar[str] = "group type"

    name: str
    description: str | None = None
    is_public: bool = True
    group_specs: dict[str, str] = msgspec.field(default_factory=dict)
    created_at_ms: int = 0

    @property
    def consistent(self) -> bool:
        """Whether a snapshot of its groups is of one moment for all volumes."""
        return self.group_specs.get("consistent_group_snapshot_enabled", "").replace(" ", "").lower() == "<is>true"
