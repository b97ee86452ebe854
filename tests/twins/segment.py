"""A network segment in memory: announcements reach everyone on it at once, unless it is cut."""

from collections.abc import Mapping
from types import MappingProxyType

import trio

from consensus.discovery import Sighting
from noded.core.ids import NodeId


class Segment:
    """Who announces what, and who hears whom."""

    def __init__(self) -> None:
        self._members: list[SegmentDiscovery] = []
        self._groups: list[frozenset[NodeId]] = []

    def discovery(self) -> "SegmentDiscovery":
        """One more node's end of the segment."""
        member = SegmentDiscovery(self)
        self._members.append(member)
        return member

    def cut(self, *groups: set[NodeId]) -> None:
        """From now on nodes hear only those of their own group."""
        self._groups = [frozenset(group) for group in groups]
        self.wake()

    def heal(self) -> None:
        """Everyone hears everyone again."""
        self._groups = []
        self.wake()

    def heard_by(self, listener: "SegmentDiscovery") -> dict[NodeId, Sighting]:
        own = listener.announced.node_id if listener.announced else NodeId("")
        return {
            member.announced.node_id: member.announced
            for member in self._members
            if member.announced is not None
            and member is not listener
            and (not self._groups or any({own, member.announced.node_id} <= group for group in self._groups))
        }

    def wake(self) -> None:
        for member in self._members:
            member.wake()


class SegmentDiscovery:
    """The simulated twin of `MdnsDiscovery`."""

    def __init__(self, segment: Segment) -> None:
        self.announced: Sighting | None = None
        self._segment = segment
        self._changed = trio.Event()

    async def announce(self, sighting: Sighting) -> None:
        await trio.lowlevel.checkpoint()
        self.announced = sighting
        self._segment.wake()

    def goodbye(self) -> None:
        self.announced = None
        self._segment.wake()

    def sightings(self) -> Mapping[NodeId, Sighting]:
        return MappingProxyType(self._segment.heard_by(self))

    async def changed(self) -> None:
        await self._changed.wait()

    def wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
