"""How does a running node give its state away? A picture of an instant, sealed in a thread while work goes on."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

import trio

from consensus.host.membership import Membership
from consensus.host.raft import RaftNode
from consensus.levels.model import cluster_level
from consensus.machine import Machine
from consensus.recovery import archive
from consensus.recovery.archive import BackupHeader
from consensus.recovery.model import LogStanding
from consensus.recovery.sealing import Passphrase, Recipient, lock_for
from noded.core.clock import now_ms
from noded.core.dice import new_hex_id
from noded.core.errors import NotFound, Unavailable
from noded.core.ids import NodeId

TAKEN_AT_ONCE_MAX: Final = 4
PIECE_BYTES: Final = 1024 * 1024
SHELVED_S_MAX: Final = 120.0  # for so long somebody may wait before asking for the next piece
_IDLE_S: Final = 0.001  # between two pieces: the loop must not wait for the interpreter's lock


class RunningLog:
    """Implements `consensus.recovery.links.LogFacts` for a node that runs."""

    def __init__(self, raft: RaftNode, membership: Membership) -> None:
        self._raft = raft
        self._membership = membership

    @property
    def cluster_name(self) -> str:
        return self._membership.cluster_name

    def peers(self) -> Mapping[NodeId, tuple[str, ...]]:
        return self._membership.peers

    def standing(self) -> LogStanding:
        raft = self._raft
        last_index, last_term = raft.newest
        return LogStanding(
            node_id=NodeId(raft.node_id),
            incarnation=raft.incarnation,
            last_term=last_term,
            last_index=last_index,
            committed_index=raft.commit_index,
            voters=tuple(NodeId(voter) for voter in sorted(raft.voters)),
            leader_id=None if raft.leader_id is None else NodeId(raft.leader_id),
        )


class SealedCopy:
    """A backup under way. It holds a picture of the store until it is drained or dropped."""

    def __init__(self, revision: int, pieces: Iterator[bytes], limiter: trio.CapacityLimiter) -> None:
        self.revision = revision
        self.used_at = trio.current_time()
        self._pieces = pieces
        self._limiter = limiter

    async def next(self) -> bytes:
        """The next piece, empty at the end."""
        piece = await trio.to_thread.run_sync(self._collect, limiter=self._limiter)
        self.used_at = trio.current_time()
        return piece

    async def pieces(self) -> AsyncIterator[bytes]:
        """All pieces."""
        while piece := await self.next():
            yield piece

    def _collect(self) -> bytes:
        collected = bytearray()
        while len(collected) < PIECE_BYTES and (piece := next(self._pieces, None)) is not None:
            collected += piece
            time.sleep(_IDLE_S)
        return bytes(collected)


class LiveBackups:
    """Implements `consensus.recovery.links.Backups`."""

    def __init__(self, raft: RaftNode, machine: Machine, membership: Membership, release: str) -> None:
        self._raft = raft
        self._machine = machine
        self._membership = membership
        self._release = release
        self._shelved: dict[str, SealedCopy] = {}
        self._limiter = trio.CapacityLimiter(TAKEN_AT_ONCE_MAX)

    async def take(self, secret: Passphrase | Recipient) -> SealedCopy:
        lock, master = await trio.to_thread.run_sync(lock_for, secret, limiter=self._limiter)
        capture = self._machine.capture()
        revision = int(self._machine.picture.revision)
        header = BackupHeader(
            cluster_id=self._membership.cluster_id,
            cluster_name=self._membership.cluster_name,
            release=self._release,
            level=cluster_level(self._machine.picture),
            incarnation=self._raft.incarnation,
            revision=revision,
            taken_at_ms=now_ms(),
            taken_by=self._raft.node_id,
            lock=lock,
        )
        return SealedCopy(revision, archive.write(header, master, capture.blocks()), self._limiter)

    def shelve(self, taking: SealedCopy) -> str:
        self._forget_the_old()
        if len(self._shelved) >= TAKEN_AT_ONCE_MAX:
            raise Unavailable(f"{TAKEN_AT_ONCE_MAX} backups are being fetched already; wait until one is done.")
        id = new_hex_id()
        self._shelved[id] = taking
        return id

    def _forget_the_old(self) -> None:
        oldest = trio.current_time() - SHELVED_S_MAX
        self._shelved = {id: copy for id, copy in self._shelved.items() if copy.used_at > oldest}

    async def next_piece(self, id: str) -> bytes:
        self._forget_the_old()
        copy = self._shelved.get(id)
        if copy is None:
            raise NotFound.of("backup under way", id)
        piece = await copy.next()
        if not piece:
            self._shelved.pop(id, None)
        return piece
