"""Up to which level of commands the members understand, each alone and all together."""

from typing import ClassVar, Final

import msgspec

from noded.core.ids import NodeId
from noded.core.record import Record
from noded.core.store import View

LEVEL: Final = "level"  # there is one cluster level in a store, so its id is a word
LOWEST: Final = 1  # what every release understands: also a member's that has not reported yet


class ClusterLevel(Record, frozen=True, kw_only=True, tag="cluster_level.1"):
    """The level that every member understands. It only rises: what was proposed on it must stay readable."""

    NOUN: ClassVar[str] = "cluster level"

    id: str = LEVEL
    level: int


class MemberLevel(Record, frozen=True, kw_only=True, tag="member_level.1"):
    """The level that one member's release understands, as it says itself."""

    NOUN: ClassVar[str] = "member level"

    id: NodeId
    level: int


class LevelReport(msgspec.Struct, frozen=True, kw_only=True):
    """Who understands what, and what that means. Made of the records, never stored."""

    cluster: int
    members: dict[NodeId, int]
    names: dict[NodeId, str]

    @property
    def behind(self) -> tuple[NodeId, ...]:
        """The members who keep the cluster from the highest level that any of them understands."""
        highest = max(self.members.values(), default=self.cluster)
        return tuple(sorted(node_id for node_id, level in self.members.items() if level < highest))


def cluster_level(view: View) -> int:
    """The level up to which commands may be proposed."""
    record = view.get(ClusterLevel, LEVEL)
    return record.level if record else LOWEST
