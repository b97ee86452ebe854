"""The composition root: the one place that knows every driver and every service, and starts them in order.

    identity → a cluster (founded, joined, or read from disk) → log and store → drivers → reconcilers and APIs

Everything that must outlive this process (guests, volume servers, extent servers) is a process of its own, found again
by the reconcilers; so starting and restarting are the same.
"""

import signal
import ssl
import sys
from dataclasses import dataclass
from functools import partial

import structlog
import trio

from compute.host.drivers import add_compute_drivers
from consensus.admission import EntryConfig
from consensus.codec import Codec
from consensus.discovery import NodeState
from consensus.door import Seed
from consensus.host.certificates import NodeCertificates, api_server
from consensus.host.doorkeeper import Doorkeeper
from consensus.host.entry import enter_cluster
from consensus.host.files import make_private_directory, write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.mdns import MdnsDiscovery
from consensus.host.membership import KeptPeers, Membership, MembershipFault, founding_command, settle_founding
from consensus.host.peers import PeerClient, PeerServer
from consensus.host.raft import RaftNode
from consensus.host.tls import tls_directory
from consensus.links import Discovery
from consensus.machine import Machine
from consensus.members.links import Certificates, Electorate, PeerBook, Presence, authority_in
from consensus.members.model import CLUSTER, ClusterFacts, Node
from consensus.ports import RAFT_PORT
from consensus.proposals import LogCluster
from images.host.drivers import add_image_drivers
from net.host.drivers import add_net_drivers
from noded.config import Config
from noded.core.clock import now_ms
from noded.core.dice import new_hex_id, new_password, new_uuid
from noded.core.errors import Refused, Unavailable
from noded.core.ids import ProjectId
from noded.core.reconciler import Drivers
from noded.core.service import Founding, PeerContext
from noded.dashboard.links import LocalApi
from noded.gateway.app import Gateway
from noded.gateway.catalog import Catalog
from noded.gateway.local import InProcessApi
from noded.gateway.server import serve
from noded.host.machine import NoAddress, own_address, tell_ready
from noded.identity.host.argon2 import Argon2Passwords
from noded.identity.host.drivers import add_identity_drivers
from noded.inspection.host.proc import ProcVitals
from noded.inspection.links import Registry, VitalsReader
from noded.logs import configure_logs
from noded.peers import AddressBook, PeerCalls
from noded.reconcile.loop import keep_reconciling
from noded.release import RELEASE
from noded.services import SERVICES, DaemonRegistry, all_commands, all_records
from storage.host.drivers import add_storage_drivers

FAULT_EXIT = 1
SOCKET_NAME = "peers.sock"
PASSWORD_FILE = "admin-password"  # noqa: S105  # a file's name

log = structlog.get_logger(__name__)


def run(config: Config) -> None:
    """Be a node until SIGTERM or SIGINT. Ends the process with a reason if it can't."""
    configure_logs()
    try:
        trio.run(_until_stopped, config)
    except (NoAddress, MembershipFault) as fault:
        log.error("node can't start", reason=str(fault))
        sys.exit(FAULT_EXIT)


async def _until_stopped(config: Config) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_be_node, config)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("node stops", signal=signal.Signals(number).name)
                nursery.cancel_scope.cancel()
                break


async def _be_node(config: Config) -> None:
    for directory in (config.state, config.run, config.logs):
        make_private_directory(directory)
    identity = NodeIdentity.load_or_create(config.state)
    address = own_address(config.address, config.interface)
    structlog.contextvars.bind_contextvars(node=identity.node_id[:12])
    log.info("node starts", release=RELEASE, name=config.node_name, address=address)
    discovery = MdnsDiscovery([address])
    entry = EntryConfig(
        seed=Seed(config.cluster, config.secret, config.expect) if config.secret else None,
        name=config.node_name,
        addresses=(address,),
        release=RELEASE,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(discovery.run)
        membership = await enter_cluster(entry, identity, config.state, discovery)
        await _Member(config, entry, identity, membership, discovery).run()


@dataclass(frozen=True)
class _Member:
    """A node that belongs to a cluster, and everything that it runs."""

    config: Config
    entry: EntryConfig
    identity: NodeIdentity
    membership: Membership
    discovery: MdnsDiscovery

    async def run(self) -> None:
        node_id = self.identity.node_id
        codec = Codec(all_commands(), all_records())
        machine = Machine(codec)
        book = AddressBook(machine, self.membership.peers)
        calls = PeerCalls(node_id, SERVICES, PeerClient(self.membership.tls, book.addresses_of))
        raft = RaftNode(
            node_id,
            self.config.state / "log",
            machine,
            tls=self.membership.tls,
            listen=(self.entry.addresses[0], RAFT_PORT),
            found=self.membership.founder,
            on_applied=lambda index: cluster.on_applied(index),  # noqa: PLW0108  # the handle is made below
        )
        cluster = LogCluster(raft, machine, codec, calls)
        drivers = Drivers()
        async with trio.open_nursery() as nursery:
            await nursery.start(raft.run)
            nursery.start_soon(self._follow_sightings, raft)
            await self._know_own_record(cluster)
            api_tls = self._api_tls(cluster)
            self._add_drivers(drivers, machine, raft, api_tls)
            nursery.start_soon(add_net_drivers(drivers, cluster).run)
            self._add_storage_drivers(drivers)
            self._add_compute_drivers(drivers, cluster)
            gateway = Gateway(SERVICES, cluster, drivers)
            drivers.add(LocalApi, InProcessApi(gateway))
            calls.ready(PeerContext(cluster=cluster, drivers=drivers))
            server = PeerServer(node_id, self.membership.tls, calls.served())
            await nursery.start(server.serve, self.entry.addresses)
            await nursery.start(server.serve_local, self.config.run / SOCKET_NAME)
            for service in SERVICES:
                for make in service.reconcilers:
                    nursery.start_soon(keep_reconciling, make(cluster, drivers), cluster)
            await nursery.start(self._doorkeeper(cluster).run)
            await nursery.start(partial(serve, gateway, api_tls, port=self.config.https_port))
            tell_ready()
            log.info("node ready", cluster=self.membership.cluster_name, url=f"https://{self.entry.addresses[0]}/")

    async def _follow_sightings(self, raft: RaftNode) -> None:
        """Tell the log where its peers are, from what they announce: an address is soft, the certificate decides."""
        for node_id, addresses in self.membership.peers.items():
            raft.set_peer(node_id, (addresses[0], RAFT_PORT))
        while True:
            for sighting in self.discovery.sightings().values():
                if sighting.state is NodeState.MEMBER and sighting.cluster == self.membership.cluster_name:
                    raft.set_peer(sighting.node_id, (sighting.addresses[0], RAFT_PORT))
            await self.discovery.changed()

    async def _know_own_record(self, cluster: LogCluster) -> None:
        """Wait until the store names this node: it is founded, or what was admitted has reached us."""
        if self.membership.founder:
            await self._found(cluster)
        seen = cluster.view().revision
        while cluster.view().get(Node, self.identity.node_id) is None:
            log.info("waiting for the cluster's state", leader=cluster.leader_id)
            seen = await cluster.changed([Node], seen)

    async def _found(self, cluster: LogCluster) -> None:
        """Propose the cluster's first entry, once: everything that a new cloud starts with."""
        while cluster.view().get(ClusterFacts, CLUSTER) is None:
            password = self._admin_password()
            founding = Founding(
                now_ms=now_ms(),
                new_uuid=new_uuid,
                new_hex_id=new_hex_id,
                admin_project_id=ProjectId(new_hex_id()),
                admin_password_hash=await Argon2Passwords().hash(password),
            )
            first = [command for service in SERVICES if service.founding for command in service.founding(founding)]
            found = founding_command(self.membership, self.entry, self.identity, founding.now_ms)
            try:
                await cluster.propose(found, *first)
            except Unavailable as fault:
                log.info("founding not confirmed yet", reason=fault.message)
            except Refused:
                # This process was killed after the log had the entry and before the membership file said so.
                if cluster.view().get(ClusterFacts, CLUSTER) is None:
                    raise
        settle_founding(self.config.state)

    def _admin_password(self) -> str:
        """The administrator's first password: on disk, for root alone, before anything depends on it."""
        path = self.config.state / PASSWORD_FILE
        if not path.exists():
            write_durably(path, (new_password() + "\n").encode())
        return path.read_text().strip()

    def _doorkeeper(self, cluster: LogCluster) -> Doorkeeper:
        return Doorkeeper(self.entry, self.membership, self.identity, self.config.state, self.discovery, cluster)

    def _api_hosts(self) -> tuple[str, ...]:
        """The addresses and names under which clients reach this node."""
        return (*self.entry.addresses, self.entry.name, "localhost", "127.0.0.1")

    def _api_tls(self, cluster: LogCluster) -> ssl.SSLContext:
        authority = authority_in(cluster.view())
        assert authority is not None, "the founding entry holds it"
        return api_server(self.identity, self.config.state, authority, self._api_hosts())

    def _add_drivers(self, drivers: Drivers, machine: Machine, raft: RaftNode, api_tls: ssl.SSLContext) -> None:
        config, tls = self.config, self.membership.tls
        drivers.add(Electorate, raft)
        drivers.add(Presence, self.entry)
        drivers.add(PeerBook, KeptPeers(config.state))
        drivers.add(Discovery, self.discovery)
        drivers.add(Certificates, NodeCertificates(self.identity, config.state, tls, api_tls, self._api_hosts))
        add_identity_drivers(drivers)
        drivers.add(Registry, DaemonRegistry(machine))
        drivers.add(Catalog, Catalog(SERVICES))
        drivers.add(VitalsReader, ProcVitals(config.disks))

    def _add_storage_drivers(self, drivers: Drivers) -> None:
        add_storage_drivers(
            drivers,
            node_id=self.identity.node_id,
            directories=self.config.disks,
            address=self.entry.addresses[0],
            tls_dir=tls_directory(self.config.state),
            run_dir=self.config.run,
            log_dir=self.config.logs,
        )
        add_image_drivers(drivers)

    def _add_compute_drivers(self, drivers: Drivers, cluster: LogCluster) -> None:
        add_compute_drivers(
            drivers,
            cluster,
            name=self.entry.name,
            address=self.entry.addresses[0],
            libvirt_uri=self.config.libvirt_uri,
            state_dir=self.config.state,
            run_dir=self.config.run,
            guest_memory_mib=self.config.guest_memory_mib,
        )
