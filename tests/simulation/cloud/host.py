"""What is one machine of a simulated cloud? What it keeps when its daemon ends, and the daemon, built as the real one.

`Host` is the machine: disks, guests, taps, volume servers. `Daemon` is the process: killed, it leaves all that running.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, cast

import trio

from compute.host.simulated import SimulatedHypervisor
from compute.hypervisor import Hypervisor
from compute.servers.links import StoreServerFacts
from consensus.admission import EntryConfig
from consensus.certificates.links import Certificates
from consensus.codec import Codec
from consensus.host.disk import Disk
from consensus.host.history_files import HistoryFiles
from consensus.host.tls import TlsContexts
from consensus.host.vault import NodeVault
from consensus.links import Discovery
from consensus.machine import Machine
from consensus.members.links import Exit, PeerBook, Presence
from consensus.members.model import Node
from consensus.own_certificates.links import ApiFace
from consensus.proposals import LogCluster
from consensus.vault.links import VaultAccess
from images.contents.links import ImageBytes, WebSource
from images.contents.live import LiveUploads
from net.host.simulated import SimulatedDataplane
from net.links import Dataplane, PortWiring, ServerFacts
from net.wiring.reconcile import Wiring
from noded.core.ids import NodeId, VolumeId
from noded.core.reconciler import Drivers
from noded.core.service import PeerContext
from noded.gateway.app import Gateway
from noded.gateway.catalog import Catalog
from noded.host.log_member import HISTORY_DIRECTORY, LOG_DIRECTORY, add_log_drivers
from noded.identity.host.argon2 import Argon2Passwords
from noded.identity.host.drivers import add_identity_drivers
from noded.peers import PeerCalls
from noded.policy.model import Policies
from noded.reconcile.loop import keep_reconciling
from noded.release import LEVEL, RELEASE
from noded.services import SERVICES, all_commands, all_records
from storage.backups.links import BackupBytes
from storage.disks.links import CapacityBook
from storage.encryption.links import LuksDisks
from storage.host.backup_bytes import HostBackups
from storage.pools.links import DiskHardware, DiskServers
from storage.volumes.links import VolumeAttachments, VolumeFiles, VolumeServers
from tests.scenarios.images.stage import SimulatedBytes
from tests.simulation.cloud.air import Air, WiredNode
from tests.simulation.schedule import SLOWNESS
from tests.twins.segment import SegmentDiscovery
from tests.twins.storage import MemoryCapacity, SimulatedDisks, SimulatedHardware, SimulatedLuks, SimulatedVolumes
from tests.twins.web import SimulatedWeb

CHECKPOINT_ENTRIES: Final = 40


def cheap_passwords() -> Argon2Passwords:
    """Hashes that cost nothing; new ones for each process, as they remember what they drew."""
    return Argon2Passwords(memory_kib=8, passes=1)


class _Keeps:
    """What a node keeps of its certificates, its peers and its own end, when nobody asks for it."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    async def keep(self, *_what: object) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    async def show(self, own: tuple[str, str] | None) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    def leave(self, why: str) -> None:
        self.ends.append(why)


class HostVolumes(SimulatedVolumes):
    """Volume servers are processes of their own: a new daemon finds those of the last one."""

    def __init__(self, cluster: LogCluster, directory: Path, served: set[VolumeId]) -> None:
        super().__init__(cluster, directory)
        self.served = served


@dataclass
class Host:
    """A machine, and what is on it."""

    number: int
    directory: Path
    shared: Path  # where the bytes of volumes are: the block engine has a simulation of its own
    discovery: SegmentDiscovery
    served: set[VolumeId] = field(default_factory=set)
    slowness: float = 1.0
    disk_fails: bool = False

    def __post_init__(self) -> None:
        self.node_id = NodeId(f"{self.number:032x}")
        self.name = f"node{self.number}"
        self.entry = EntryConfig(seed=None, name=self.name, addresses=(f"10.0.0.{self.number}",), release=RELEASE)
        self.hypervisor = SimulatedHypervisor(self.name, cpus=1, memory_mib=1024)
        self.dataplane = SimulatedDataplane()
        self.disks = SimulatedDisks(self.number)

    def record(self) -> Node:
        return Node(
            id=self.node_id,
            name=self.name,
            addresses=self.entry.addresses,
            fingerprint=(self.node_id * 2)[:64],
            admitted_at_ms=1000,
            release=RELEASE,
        )

    def lose_power(self) -> None:
        """Only what is on the disk stays."""
        self.hypervisor.lose_power()
        self.dataplane = SimulatedDataplane()
        self.served = set()

    def fdatasync(self, _file: int) -> None:
        if self.disk_fails:
            raise OSError(5, "the simulated disk fails")


class Daemon:
    """The process on a host."""

    def __init__(self, host: Host, air: Air, peers: Collection[NodeId], *, found: bool, heard: Callable[[int], None]):
        self.host = host
        self.air = air
        self._peers = peers
        self._heard = heard
        codec = Codec(all_commands(), all_records())
        self.history = HistoryFiles(host.directory / LOG_DIRECTORY / HISTORY_DIRECTORY)
        self.machine = Machine(codec, self.history, level=LEVEL)
        self.calls = PeerCalls(host.node_id, SERVICES, self)
        self.raft = WiredNode(
            air,
            host.node_id,
            host.directory / LOG_DIRECTORY,
            self.machine,
            tls=cast(TlsContexts, None),  # wires need none
            listen=(host.entry.addresses[0], 7400),
            found=found,
            on_applied=self._on_applied,
            checkpoint_entries=CHECKPOINT_ENTRIES,
            disk=Disk(fdatasync=host.fdatasync),
        )
        self.cluster = LogCluster(self.raft, self.machine, codec, self.calls)
        self.drivers = Drivers()
        self.keeps = _Keeps()
        self.gateway: Gateway | None = None  # once it serves

    def _on_applied(self, index: int) -> None:
        self._heard(index)
        self.cluster.on_applied(index)

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        """Ask another node."""
        return await self.air.call(self.host.node_id, node_id, method, payload)

    async def run(self) -> None:
        """Be a node until killed. Raises StorageFailed."""
        SLOWNESS.set(lambda: self.host.slowness)
        node_id = self.host.node_id
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.raft.run)
                for peer in self._peers:
                    self.raft.set_peer(peer, (peer, 7400))
                self._add_drivers()
                context = PeerContext(cluster=self.cluster, drivers=self.drivers)
                self.calls.waiting(context)
                self.air.served[node_id] = (nursery, self.calls.served())
                await self._know_own_record()
                self.calls.ready(context)
                self.gateway = Gateway(SERVICES, self.cluster, self.drivers)
                for service in SERVICES:
                    for make in service.reconcilers:
                        nursery.start_soon(keep_reconciling, make(self.cluster, self.drivers), self.cluster)
        finally:
            self.gateway = None
            self.air.served.pop(node_id, None)

    async def _know_own_record(self) -> None:
        seen = self.cluster.view().revision
        while self.cluster.view().get(Node, self.host.node_id) is None:
            seen = await self.cluster.changed([Node], seen)

    def _add_drivers(self) -> None:
        drivers, host = self.drivers, self.host
        add_log_drivers(drivers, self.cluster, self.raft, self.machine, self.history)
        drivers.add(Presence, host.entry)
        drivers.add(PeerBook, cast(PeerBook, self.keeps))
        drivers.add(Certificates, cast(Certificates, self.keeps))
        drivers.add(Exit, self.keeps)
        drivers.add(ApiFace, self.keeps)
        drivers.add(Discovery, host.discovery)
        add_identity_drivers(drivers, cheap_passwords())
        drivers.add(Catalog, Catalog(SERVICES))
        drivers.add(Policies, Policies(SERVICES))
        drivers.add(Dataplane, host.dataplane)
        drivers.add(PortWiring, Wiring(self.cluster, host.dataplane))
        drivers.add(DiskServers, host.disks)
        drivers.add(DiskHardware, SimulatedHardware())
        drivers.add(CapacityBook, MemoryCapacity())
        drivers.add(BackupBytes, HostBackups())
        drivers.add(LuksDisks, SimulatedLuks())
        drivers.add(VaultAccess, NodeVault(host.node_id, sha256(host.node_id.encode()).digest()))
        volumes = HostVolumes(self.cluster, host.shared, host.served)
        for protocol in (VolumeAttachments, VolumeFiles, VolumeServers):
            drivers.add(protocol, volumes)
        drivers.add(ImageBytes, SimulatedBytes())
        drivers.add(WebSource, SimulatedWeb())
        drivers.add(LiveUploads, LiveUploads())
        drivers.add(Hypervisor, host.hypervisor)
        drivers.add(ServerFacts, StoreServerFacts(self.cluster))
