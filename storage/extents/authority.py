"""What does a volume server ask of the log, and what is it told? The one door between the data path and the records.

A volume server holds a `VolumeMap` and changes it only through the six calls below. Each is a peer call
(`consensus/calls.py`) named `volume.<verb>`, whose payload is the msgpack of the request struct and whose answer is the
msgpack of the `VolumeMap` after the change. The refusals that matter to the caller are `NotFound` (the volume is gone)
and `Conflict` with one of the codes below.

A layout changes extent by extent: a replica is *joining* until the owner has made it equal and the log has *adopted*
it.

Rules for the handlers, each of which the simulator (`tests/simulation/test_replication.py`) shows to be needed:

- `claim` sets `epoch = epoch + 1`, `owner = node_id`. Asked again with the same `claim_id` it answers the same map.
- `shrink` and `grow` are refused with `SUPERSEDED` unless `epoch` is the record's epoch, and with `STALE_CHANGE`
  unless `changes` is the record's count of set changes: a late duplicate must never be applied to a newer set.
  Both add one to that count whenever they change the set.
- `shrink` is refused with `LAST_REPLICA` if some extent would be left without an in-sync replica
  (`layout.may_leave` decides).
- `thaw` adds one to the count of changes unless it has changed since. It is refused with `SUPERSEDED` like the others.
- A snapshot puts a new, empty layer on the volume and adds one to the count. It is made only if the record still has
  the epoch and the count of the `Mark` that the owner gave (`freezing.py`).
- `grow` and `adopt` are refused with `STALE_CHANGE` for a disk whose replica of a parent, where it is read through, is
  not in sync.
- `adopt` is refused with `STALE_CHANGE` for what is not joining, and for a disk that holds other extents of the volume
  and is behind in them: the in-sync set is one for all extents of a disk.
- what takes a replica out of the layout adds one to `changes`, and its bytes are removed under that number: an extent
  server refuses whoever greeted it with a smaller one.
"""

from typing import Final, Protocol

import msgspec

from noded.core.ids import DiskId, NodeId, VolumeId

CLAIM: Final = "volume.claim"
SHRINK: Final = "volume.shrink"
GROW: Final = "volume.grow"
ADOPT: Final = "volume.adopt"
LOCATE: Final = "volume.locate"
THAW: Final = "volume.thaw"

SCRUB_BYTES_S: Final = 16 << 20

# Codes of the Conflict refusals.
SUPERSEDED: Final = "VolumeSuperseded"  # another claim has been made since: stop at once
STALE_CHANGE: Final = "VolumeStaleChange"  # the set is not what the caller believes: locate, then decide again
LAST_REPLICA: Final = "VolumeLastReplica"  # an extent would have no in-sync replica: wait for one to return


class DiskAddress(msgspec.Struct, frozen=True):
    """Where the extent server of a disk listens."""

    node_id: NodeId
    host: str
    port: int


class ParentMap(msgspec.Struct, frozen=True):
    """A volume that a clone falls through to. It is immutable, has the clone's extent size, and its layout is the
    clone's for the extents that both have; a clone's replica on a disk is of use only where the parent is in sync.
    `volume_id` is the name that disks know it by: the id of its layer."""

    volume_id: VolumeId
    size_bytes: int
    epoch: int
    in_sync: tuple[DiskId, ...]


class Joiner(msgspec.Struct, frozen=True):
    """A replica of one extent that is to be made on a disk."""

    extent: int
    disk_id: DiskId


class VolumeMap(msgspec.Struct, frozen=True):
    """All that a volume server must know. `parents` is the chain, nearest first; `changes` counts set changes."""

    volume_id: VolumeId
    size_bytes: int
    extent_bytes: int
    layout: tuple[tuple[DiskId, ...], ...]
    epoch: int
    changes: int
    in_sync: tuple[DiskId, ...]
    parents: tuple[ParentMap, ...]
    disks: dict[DiskId, DiskAddress]
    writable: bool
    layer_id: str = ""  # the name that disks know its own blocks by, if that is not its id
    joining: tuple[Joiner, ...] = ()
    held_back: tuple[DiskId, ...] = ()  # their replica of a parent is behind: they can't be in sync yet
    copy_bytes_s: int = 0  # how fast joining replicas may be filled; 0: as fast as it goes
    scrub_bytes_s: int = SCRUB_BYTES_S  # how fast each replica is read to find what has rotted

    @property
    def layer(self) -> str:
        """The name that disks know the volume's own blocks by. A snapshot takes it, and the volume gets a new one."""
        return self.layer_id or self.volume_id


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A volume stands still, and will until its record has another epoch or count of changes."""

    volume_id: VolumeId
    epoch: int
    changes: int


class Claim(msgspec.Struct, frozen=True):
    """Make `node_id` the owner. `claim_id` is drawn once for each start of a volume server."""

    volume_id: VolumeId
    node_id: NodeId
    claim_id: str


class Shrink(msgspec.Struct, frozen=True):
    """Take `disk_ids` out of the in-sync set. Disks that are not in it are ignored."""

    volume_id: VolumeId
    epoch: int
    changes: int
    disk_ids: tuple[DiskId, ...]


class Grow(msgspec.Struct, frozen=True):
    """Put a resynced disk into the in-sync set. Nothing happens if it is in it."""

    volume_id: VolumeId
    epoch: int
    changes: int
    disk_id: DiskId


class Thaw(msgspec.Struct, frozen=True):
    """Make a mark with this count of changes worthless, unless it is already: its owner goes on writing."""

    volume_id: VolumeId
    epoch: int
    changes: int


class Adopt(msgspec.Struct, frozen=True):
    """Make joining replicas of a disk, which have everything, members of the layout; `blocks` were copied for it."""

    volume_id: VolumeId
    epoch: int
    changes: int
    disk_id: DiskId
    extents: tuple[int, ...]
    blocks: int = 0


class Locate(msgspec.Struct, frozen=True):
    """Ask for the present map."""

    volume_id: VolumeId


Request = Claim | Shrink | Grow | Adopt | Thaw | Locate
METHODS: Final[dict[type[Request], str]] = {
    Claim: CLAIM,
    Shrink: SHRINK,
    Grow: GROW,
    Adopt: ADOPT,
    Thaw: THAW,
    Locate: LOCATE,
}


class VolumeAuthority(Protocol):
    """The log, as a volume server sees it. One request is outstanding at a time; it may be carried out without its
    answer arriving, and is then simply asked again."""

    def ask(self, request: Request) -> VolumeMap:
        """Carry out one request. Raises the `Refused` of the handler, or `Unavailable` when nobody could be asked."""
