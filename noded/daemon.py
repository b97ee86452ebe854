"""The composition root: the one place that knows every driver and every service, and starts them in order.

    identity → a cluster (founded, joined, or read from disk) → log and store → drivers → reconcilers and APIs

Everything that must outlive this process (guests, volume servers, extent servers) is a process of its own, found again
by the reconcilers; so starting and restarting are the same.
"""

import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio

from consensus.admission import EntryConfig
from consensus.certificates.links import Certificates
from consensus.door import Seed
from consensus.doors.links import Porch, Refusals
from consensus.host.api_face import HostApiFace
from consensus.host.certificates import NodeCertificates, api_server
from consensus.host.checkpoint import CheckpointRefused
from consensus.host.doorkeeper import Doorkeeper
from consensus.host.entry import Entry
from consensus.host.files import StateInUse, make_private_directory, remove_durably, state_held
from consensus.host.identity import NodeIdentity
from consensus.host.journal import JournalDamaged, JournalInUse
from consensus.host.left import left_file
from consensus.host.mdns import MdnsDiscovery
from consensus.host.membership import MembershipFault, read_membership, settle_founding
from consensus.host.peers import PeerServer
from consensus.host.rebirth import set_log_aside
from consensus.host.refusals import RefusalBook
from consensus.host.replication import SafetyViolated
from consensus.host.vault import NodeVault
from consensus.log import ReleaseTooOld, StorageFailed, Superseded
from consensus.members.links import authority_in
from consensus.members.model import NodeRole
from consensus.own_certificates.links import ApiFace
from consensus.ports import PEERS_PORT, RAFT_PORT
from consensus.vault.links import VaultAccess
from noded.config import Config
from noded.core.reconciler import Drivers
from noded.core.service import PeerContext
from noded.dashboard.links import LocalApi
from noded.gateway.app import Gateway
from noded.gateway.catalog import Catalog
from noded.gateway.local import InProcessApi
from noded.gateway.server import serve
from noded.host.life import (
    BeginAgain,
    Departed,
    StartOver,
    await_turn,
    begin_again,
    depart,
    stays_away,
    watch_address,
    watch_note,
)
from noded.host.log_member import LOG_DIRECTORY, LogMember, Standing
from noded.host.machine import NoAddress, own_address, start_again, tell_ready
from noded.host.unclaimed import Unclaimed
from noded.identity.host.drivers import add_identity_drivers
from noded.inspection.host.proc import ProcVitals
from noded.inspection.links import VitalsReader
from noded.logs import configure_logs
from noded.policy.model import Policies
from noded.reconcile.loop import keep_reconciling
from noded.release import LEVEL, RELEASE
from noded.services import SERVICES, services_of
from storage.host.disk_servers import FIRST_PORT
from storage.host.refused import refused_by_disks

FAULT_EXIT = 1
SOCKET_NAME = "peers.sock"

log = structlog.get_logger(__name__)


def run(config: Config) -> None:
    """Be a node until SIGTERM or SIGINT. Ends the process with a reason if it can't."""
    configure_logs()
    superseded, departed, over, failed = False, "", False, False
    try:
        make_private_directory(config.state)
        with state_held(config.state):
            trio.run(_until_stopped, config)
    except* (NoAddress, MembershipFault, StateInUse, JournalInUse) as faults:
        failed = bool(_tell("node can't start", faults))
    except* (JournalDamaged, CheckpointRefused, SafetyViolated, ReleaseTooOld) as faults:
        failed = bool(_tell("node can't go on with its log", faults))
    except* StorageFailed as faults:
        failed = bool(_tell("node ends: its disk keeps the log no more, so it may promise nothing", faults))
    except* Superseded as faults:
        _tell("node steps back", faults)
        superseded = True
    except* Departed as faults:
        departed = "; ".join(_tell("node goes", faults))
    except* BeginAgain as faults:
        _tell("node begins anew", faults)
        begin_again(config, _left_behind(faults))
        over = True
    except* StartOver as faults:
        over = bool(_tell("node starts over", faults))
    if failed:
        sys.exit(FAULT_EXIT)  # not above: what is raised among those clauses is wrapped, and ends in a trace
    if departed:
        depart(config, departed)
    if departed or over:
        start_again()
    if superseded:
        await_turn(config.state / LOG_DIRECTORY)
        aside = set_log_aside(config.state / LOG_DIRECTORY)
        settle_founding(config.state)  # whatever it founded is of the past
        log.warning("log set aside", kept_in=str(aside))
        start_again()


def _tell(what: str, faults: BaseExceptionGroup[Exception]) -> list[str]:
    """One line in the log for each fault, however deep the tasks were in which it came up. Their words."""
    said = []
    for fault in faults.exceptions:
        if isinstance(fault, BaseExceptionGroup):
            said += _tell(what, fault)
        else:
            log.error(what, reason=str(fault))
            said.append(str(fault))
    return said


def _left_behind(faults: BaseExceptionGroup[BeginAgain]) -> tuple[str, ...]:
    """Who voted before and does not any more, as it was asked."""
    fault = faults.exceptions[0]
    return _left_behind(fault) if isinstance(fault, BaseExceptionGroup) else fault.left_behind


async def _until_stopped(config: Config) -> None:
    async with trio.open_nursery() as nursery:
        leaving: list[Callable[[], Awaitable[None]]] = []
        nursery.start_soon(_be_node, config, leaving)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("node stops", signal=signal.Signals(number).name)
                for leave in leaving:
                    await leave()
                nursery.cancel_scope.cancel()
                break


async def _be_node(config: Config, leaving: list[Callable[[], Awaitable[None]]]) -> None:
    for directory in (config.state, config.run, config.logs):
        make_private_directory(directory)
    away = stays_away(config.state)
    identity = NodeIdentity.load_or_create(config.state)
    address = own_address(config.address, config.interface)
    structlog.contextvars.bind_contextvars(node=identity.node_id[:12])
    log.info("node starts", release=RELEASE, name=config.node_name, address=address)
    discovery = MdnsDiscovery(always=[address])
    entry = EntryConfig(
        seed=Seed(config.cluster, config.secret, config.expect) if config.secret and not away else None,
        name=config.node_name,
        addresses=(address,),
        release=RELEASE,
        role=config.role,
        level=LEVEL,
        ports_to_come=(RAFT_PORT, PEERS_PORT, *range(FIRST_PORT, FIRST_PORT + len(config.disks))),
        ports_shown=(config.https_port,),
    )
    refusals = RefusalBook(partial(refused_by_disks, config.run))
    async with trio.open_nursery() as nursery:
        await nursery.start(discovery.run)
        nursery.start_soon(watch_address, config, address)
        membership = read_membership(config.state, identity)
        if membership is None:
            way_in = Entry(entry, identity, config.state, discovery, refusals)
            async with trio.open_nursery() as waiting:
                if away:
                    waiting.start_soon(watch_note, config.state)
                console, refused = config.run / SOCKET_NAME, refusals.at(config.https_port)
                unclaimed = Unclaimed(config, way_in, identity.node_id, address, console, refused=refused)
                membership = await unclaimed.enter()
                waiting.cancel_scope.cancel()
            # A person may claim a node that stays away: that it left another cluster once is no reason any more.
            remove_durably(left_file(config.state))
        daemon = _Daemon(Standing(config, entry, identity, membership, discovery, refusals))
        leaving.append(daemon.leave)
        await daemon.run()


class _Daemon:
    """A node that belongs to a cluster, and everything that it runs."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._member = LogMember(standing)
        self._services = services_of(standing.config.role)
        self._has_machine_drivers = False
        self._reconciling = trio.CancelScope()

    async def leave(self) -> None:
        """Before a planned end: who leads the log hands over, so that nobody has to wait for an election."""
        await self._member.raft.retire()

    async def run(self) -> None:
        standing, member = self._standing, self._member
        cluster = member.cluster
        drivers = Drivers()
        async with trio.open_nursery() as nursery:
            await nursery.start(member.run)
            member.add_drivers(drivers)
            member.calls.waiting(PeerContext(cluster=cluster, drivers=drivers))
            await self._serve_calls(nursery)
            member.exit.release = partial(self._let_go, drivers, nursery)
            await member.know_own_record()
            api_tls = self._api_tls()
            self._add_drivers(drivers, api_tls)
            doorkeeper = self._doorkeeper()
            drivers.add(Porch, doorkeeper)
            drivers.add(Refusals, standing.refusals)
            if standing.config.role is NodeRole.MEMBER:
                self._add_machine_drivers(drivers, nursery)
            gateway = Gateway(self._services, cluster, drivers)
            drivers.add(LocalApi, InProcessApi(gateway))
            member.calls.ready(PeerContext(cluster=cluster, drivers=drivers))
            nursery.start_soon(self._reconcile, drivers)
            await nursery.start(doorkeeper.run)
            https_port = standing.config.https_port
            refused = standing.refusals.at(https_port)
            await nursery.start(partial(serve, gateway, api_tls, port=https_port, refused=refused))
            tell_ready()
            url = f"https://{standing.entry.addresses[0]}/"
            log.info("node ready", cluster=standing.membership.cluster_name, url=url)

    async def _reconcile(self, drivers: Drivers) -> None:
        cluster = self._member.cluster
        with self._reconciling:
            async with trio.open_nursery() as nursery:
                for service in self._services:
                    for make in service.reconcilers:
                        nursery.start_soon(keep_reconciling, make(cluster, drivers), cluster)

    async def _serve_calls(self, nursery: trio.Nursery) -> None:
        standing, member = self._standing, self._member
        tls, calls = standing.membership.tls, member.calls
        server = PeerServer(
            standing.identity.node_id,
            tls,
            calls.served(),
            calls.served_locally(),
            refuse_gone=member.refuse_gone,
            refused=standing.refusals.at(PEERS_PORT),
        )
        await nursery.start(server.serve, standing.entry.addresses)
        await nursery.start(server.serve_local, standing.config.run / SOCKET_NAME)

    def _doorkeeper(self) -> Doorkeeper:
        standing = self._standing
        return Doorkeeper(
            standing.entry,
            standing.membership,
            standing.identity,
            standing.config.state,
            standing.discovery,
            self._member.cluster,
            standing.refusals,
        )

    def _api_hosts(self) -> tuple[str, ...]:
        """The addresses and names under which clients reach this node."""
        entry = self._standing.entry
        return (*entry.addresses, entry.name, "localhost", "127.0.0.1")

    def _api_tls(self) -> ssl.SSLContext:
        authority = authority_in(self._member.cluster.view())
        assert authority is not None, "the founding entry holds it"
        return api_server(self._standing.identity, self._standing.config.state, authority, self._api_hosts())

    def _add_drivers(self, drivers: Drivers, api_tls: ssl.SSLContext) -> None:
        standing = self._standing
        state, tls = standing.config.state, standing.membership.tls
        drivers.add(VaultAccess, NodeVault.of(standing.identity))
        drivers.add(Certificates, NodeCertificates(standing.identity, state, tls, api_tls, self._api_hosts))
        drivers.add(ApiFace, HostApiFace(api_tls, state, self._api_hosts))
        add_identity_drivers(drivers)
        drivers.add(Catalog, Catalog(self._services))
        drivers.add(Policies, Policies(SERVICES))  # a witness answers for all nodes
        drivers.add(VitalsReader, ProcVitals(standing.config.disks))

    def _add_machine_drivers(self, drivers: Drivers, nursery: trio.Nursery) -> None:
        """Guests, disks and networks: what a witness does without. Then it needs not even their code in memory."""
        from noded.host.machine_drivers import add_machine_drivers  # noqa: PLC0415

        add_machine_drivers(drivers, self._standing, self._member.cluster, nursery)
        self._has_machine_drivers = True

    async def _let_go(self, drivers: Drivers, nursery: trio.Nursery) -> None:
        """End what still runs here for the cluster, also if this process has not looked for it yet."""
        self._reconciling.cancel()  # they would start again at once what is ended here
        if self._standing.config.role is NodeRole.MEMBER:
            from noded.host.machine_drivers import release_machine  # noqa: PLC0415  # a witness needs none of it

            if not self._has_machine_drivers:
                self._add_machine_drivers(drivers, nursery)
            await release_machine(drivers)
