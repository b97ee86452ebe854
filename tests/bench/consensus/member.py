"""What is measured: a node's log, store, voters and handle, as the daemon has them, with a service that keeps keys."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import trio

from consensus.admission import EntryConfig
from consensus.codec import Codec
from consensus.host.history_files import HistoryFiles
from consensus.host.raft import RaftNode
from consensus.host.tls import member_contexts
from consensus.links import Discovery
from consensus.machine import Machine
from consensus.members import SERVICE as MEMBERS
from consensus.members.commands import AdmitNode, FoundCluster
from consensus.members.links import Electorate, Exit, PeerBook, Presence
from consensus.members.model import Node
from consensus.members.reconcile import MembersReconciler
from consensus.ports import RAFT_PORT
from consensus.proposals import LogCluster
from noded.core.clock import now_ms
from noded.core.command import Command
from noded.core.errors import Unavailable
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.record import Record
from noded.core.store import Transaction
from noded.reconcile.loop import keep_reconciling
from tests.logs import until
from tests.twins.segment import Segment

RELEASE = "0.1.0"
STAMP = "stamp"  # the key whose changes every node notes the time of


class KeyValue(Record, frozen=True, kw_only=True, tag="bench_key_value.1"):
    """A row like etcd's."""

    NOUN: ClassVar[str] = "key"

    value: bytes


class Put(Command, frozen=True, kw_only=True, tag="bench.put.1"):
    """Sets a key."""

    key: str
    value: bytes

    def apply(self, tx: Transaction) -> None:
        tx.put(KeyValue(id=self.key, value=self.value))


class Place(msgspec.Struct, frozen=True):
    """A node of the bench: who it is, where it listens, where its files are."""

    node_id: str
    fingerprint: str
    name: str
    address: str
    directory: str


class NoPeers:
    """Nobody answers peer calls here: a node that hears of no leader for a while asks whether it is still a member."""

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        raise Unavailable(f"{method} is not answered")


class NoBook:
    """Addresses are given at the start and stay."""

    async def keep(self, addresses: Mapping[NodeId, tuple[str, ...]], gone: Collection[NodeId]) -> None:
        await trio.lowlevel.checkpoint()


class NoExit:
    """Nobody is forgotten here."""

    def leave(self, why: str) -> None:
        raise AssertionError(why)


@dataclass
class Noted:
    """When this node applied a new stamp."""

    value: bytes = b""
    at_s: float = 0.0


class Member:
    """One node in this process."""

    def __init__(self, place: Place, peers: list[Place], *, found: bool) -> None:
        self.place = place
        self.noted = Noted()
        codec = Codec((*MEMBERS.commands, Put), (*MEMBERS.records, KeyValue))
        directory = Path(place.directory) / "log"
        self.machine = Machine(codec, HistoryFiles(directory / "history"))
        self.raft = RaftNode(
            place.node_id,
            directory,
            self.machine,
            tls=member_contexts(Path(place.directory)),
            listen=(place.address, RAFT_PORT),
            found=found,
            on_applied=self._on_applied,
        )
        self.cluster = LogCluster(self.raft, self.machine, codec, NoPeers())
        for peer in peers:
            self.raft.set_peer(peer.node_id, (peer.address, RAFT_PORT))

    def _on_applied(self, index: int) -> None:
        stamp = self.machine.picture.get(KeyValue, STAMP)
        if stamp is not None and stamp.value != self.noted.value:
            self.noted = Noted(stamp.value, time.monotonic())
        self.cluster.on_applied(index)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be a node until cancelled."""
        place = self.place
        drivers = Drivers()
        drivers.add(Electorate, self.raft)
        drivers.add(Presence, EntryConfig(seed=None, name=place.name, addresses=(place.address,), release=RELEASE))
        drivers.add(PeerBook, NoBook())
        drivers.add(Exit, NoExit())
        drivers.add(Discovery, Segment().discovery())  # addresses are given, nobody announces any
        async with trio.open_nursery() as nursery:
            await nursery.start(self.raft.run)
            nursery.start_soon(keep_reconciling, MembersReconciler(self.cluster, drivers), self.cluster)
            task_status.started()

    async def found(self, certificate: str, key: str) -> None:
        """Be the first node of a new cluster."""
        await until(lambda: self.raft.is_leader)
        founder = Node(admitted_at_ms=now_ms(), **_facts(self.place))
        await self.cluster.propose(
            FoundCluster(
                cluster_id="bench",
                name="bench",
                authority_certificate_pem=certificate,
                authority_key_pem=key,
                founder=founder,
                now_ms=now_ms(),
            )
        )

    async def admit(self, place: Place) -> None:
        """Make another node a member, as a doorkeeper does."""
        self.raft.set_peer(place.node_id, (place.address, RAFT_PORT))
        facts = _facts(place)
        await self.cluster.propose(AdmitNode(node_id=facts.pop("id"), now_ms=now_ms(), **facts))


def _facts(place: Place) -> dict[str, Any]:
    return {
        "id": NodeId(place.node_id),
        "name": place.name,
        "addresses": (place.address,),
        "fingerprint": place.fingerprint,
        "release": RELEASE,
    }
