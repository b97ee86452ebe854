"""What can be done for a node on its own files, whether its daemon runs or not? The verbs of last resort stand on this.

They must work when the daemon has nothing to say: when it waits for a majority that is gone, or does not run at all.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Final

import msgspec
import structlog

from consensus.authority import sign_node
from consensus.codec import Codec
from consensus.host.checkpoint import CheckpointRefused
from consensus.host.files import StateInUse, make_private_directory, state_held
from consensus.host.identity import NodeIdentity
from consensus.host.journal import JournalDamaged, JournalInUse
from consensus.host.membership import Membership, MembershipFault, read_membership
from consensus.host.peers_plain import call_node
from consensus.host.rebirth import NoLog, read_incarnation
from consensus.host.tls import (
    TlsContexts,
    authority_file,
    member_contexts,
    node_certificate_file,
    node_key_file,
    tls_directory,
)
from consensus.incarnation import Incarnation
from consensus.machine import Machine
from consensus.members.links import authority_in
from consensus.members.model import Node
from consensus.recovery.archive import BackupHeader, BackupRefused
from consensus.recovery.host.offline import read_log
from consensus.recovery.host.probing import Asker, life_at, members_announced, who_answers
from consensus.recovery.host.reading import read_backup
from consensus.recovery.host.recovering import LOG_DIRECTORY, Begun, recover, restore
from consensus.recovery.model import BeginAgainCall, Known, KnownMember, LogStanding, RecoveryPlan, Seen
from consensus.recovery.plan import left_behind, plan_recovery
from consensus.recovery.sealing import Passphrase, PrivateKey
from noded.cli.host.local import ask
from noded.config import Config
from noded.core.clock import now_ms
from noded.core.errors import Conflict, Refused, Unavailable
from noded.core.ids import NodeId
from noded.core.store import View
from noded.host.machine import NoAddress, own_address
from noded.release import LEVEL
from noded.services import all_commands, all_records

STANDING_S_MAX: Final = 3.0
ASKED_AT_ONCE: Final = 16
BACK_S_MAX: Final = 60.0
LOOK_S: Final = 0.2

_Addresses = Mapping[NodeId, tuple[str, ...]]

# How the files of a node can't be used; the message says why and what to do.
FILES_UNFIT: Final = (
    JournalDamaged, JournalInUse, CheckpointRefused, NoLog, MembershipFault, StateInUse, OSError,
)  # fmt: skip


@contextmanager
def _saying_little() -> Iterator[None]:
    """What the daemon would log is no answer: only warnings are told, and not on standard output."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def whole_codec() -> Codec:
    """The encodings of every record and command of this release."""
    return Codec(all_commands(), all_records())


# -- a lost majority


@dataclass(frozen=True)
class Outlook:
    """What recovering here would mean, and whether the daemon runs."""

    plan: RecoveryPlan
    runs: bool


@_saying_little()
def look(config: Config) -> Outlook:
    """Ask this node and every other one that it knows of. Raises Refused."""
    try:
        known, runs = msgspec.msgpack.decode(ask(config.run, "recovery.known"), type=Known), True
    except Unavailable:
        known, runs = _known_from_files(config), False
    contexts = member_contexts(config.state)
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        others = list(pool.map(lambda member: _seen(contexts, member, known.standing), known.others))
    others.sort(key=lambda one: one.name)
    return Outlook(plan_recovery(known.cluster, known.node_name, known.standing, others), runs)


@_saying_little()
def recover_here(config: Config, outlook: Outlook) -> LogStanding | Begun:
    """Begin a new life on this node. If its daemon runs, return when it leads again. Raises Refused."""
    plan = outlook.plan
    gone = left_behind(plan.standing)
    if outlook.runs:
        ask(
            config.run,
            "recovery.begin_again",
            msgspec.msgpack.encode(BeginAgainCall(cluster=plan.cluster, left_behind=gone)),
        )
        return _back(config, plan.standing)
    try:
        with state_held(config.state):
            return recover(config.state, plan.node_id, gone, now_ms())
    except FILES_UNFIT as fault:
        raise Conflict(f"{fault}") from fault


def _known_from_files(config: Config) -> Known:
    try:
        membership = _membership(config)
        with state_held(config.state):
            standing, machine = read_log(config.state / LOG_DIRECTORY, membership.node_id, whole_codec())
    except StateInUse as fault:
        raise Conflict(f"{fault}, but it does not answer yet. Wait a little, or stop it and try again.") from fault
    except FILES_UNFIT as fault:
        raise Conflict(f"The log of this node can't be used: {fault}") from fault
    nodes = {NodeId(node.id): node for node in machine.picture.all(Node)}
    everyone = dict.fromkeys((*nodes, *membership.peers, *standing.voters))
    return Known(
        cluster=membership.cluster_name,
        node_name=_name(nodes, membership.node_id),
        standing=standing,
        others=tuple(
            KnownMember(
                node_id=node_id,
                name=_name(nodes, node_id),
                addresses=nodes[node_id].addresses if node_id in nodes else membership.peers.get(node_id, ()),
            )
            for node_id in everyone
            if node_id != membership.node_id
        ),
    )


def _name(nodes: dict[NodeId, Node], node_id: NodeId) -> str:
    return nodes[node_id].name if node_id in nodes else node_id[:12]


def _membership(config: Config) -> Membership:
    if not config.state.exists():
        raise Conflict(f"{config.state} is not there: no node ever ran here.")
    membership = read_membership(config.state, NodeIdentity.load_or_create(config.state))
    if membership is None:
        raise Conflict("This node is no member of a cluster.")
    return membership


def _seen(contexts: TlsContexts, member: KnownMember, own: LogStanding) -> Seen:
    standing, silent = None, ""
    try:
        answer = call_node(contexts.client, member.node_id, member.addresses, "recovery.standing", b"", STANDING_S_MAX)
        standing = msgspec.msgpack.decode(answer, type=LogStanding)
    except Refused as fault:
        silent = fault.message
    votes = member.node_id in own.voters
    return Seen(node_id=member.node_id, name=member.name, votes=votes, standing=standing, silent=silent)


def _back(config: Config, before: LogStanding) -> LogStanding:
    """Wait until the daemon of this host leads a later life."""
    until = monotonic() + BACK_S_MAX
    while monotonic() < until:
        try:
            standing = msgspec.msgpack.decode(ask(config.run, "recovery.known"), type=Known).standing
        except Unavailable:
            pass  # it is on its way
        else:
            if standing.incarnation != before.incarnation and standing.leader_id == standing.node_id:
                return standing
        sleep(LOOK_S)
    raise Unavailable(f"The daemon did not come back within {BACK_S_MAX:.0f} s; its log says why.")


# -- from a backup


@dataclass(frozen=True)
class Restoring:
    """A backup that was read whole, and what stands against restoring it here."""

    header: BackupHeader
    digest: str
    records: int
    alive: tuple[str, ...]  # members of that cluster that were found, in words
    newest: Incarnation | None  # the newest life that anybody told of
    stranger: str  # the name of another cluster that this node belongs to


@_saying_little()
def restore_here(
    config: Config, path: Path, secret: Passphrase | PrivateKey, *, force: bool, only_look: bool
) -> tuple[Restoring, Begun | None]:
    """Make a cluster of this node alone from a backup; with `only_look` change nothing. Raises Refused."""
    make_private_directory(config.state)
    try:
        with state_held(config.state):
            header, machine = read_backup(path, secret, whole_codec(), LEVEL)
            restoring = _survey(config, header, machine)
            if only_look:
                return restoring, None
            if not force:
                refuse_beside_the_living(restoring)
            identity = NodeIdentity.load_or_create(config.state)
            return restoring, restore(config.state, identity, header, machine, restoring.newest, now_ms())
    except StateInUse as fault:
        raise Conflict(f"{fault}. Stop the daemon first (systemctl stop noded); nothing was changed.") from fault
    except BackupRefused as fault:
        raise Conflict(f"{path}: {fault} Nothing was changed.") from fault
    except FILES_UNFIT as fault:
        raise Conflict(f"{fault}") from fault


@_saying_little()
def verify(path: Path, secret: Passphrase | PrivateKey) -> tuple[BackupHeader, str, dict[str, int]]:
    """The header, the digest and the number of records of each kind, after reading all of it. Raises Refused."""
    try:
        header, machine = read_backup(path, secret, whole_codec(), LEVEL)
    except BackupRefused as fault:
        raise Conflict(f"{path}: {fault}") from fault
    counts: dict[str, int] = {}
    for record in machine.picture.records():
        counts[record.NOUN] = counts.get(record.NOUN, 0) + 1
    return header, machine.digest(), counts


def _survey(config: Config, header: BackupHeader, machine: Machine) -> Restoring:
    """What stands against restoring that backup on this node."""
    view = machine.picture
    identity = NodeIdentity.load_or_create(config.state)
    present = read_membership(config.state, identity)
    is_stranger = present is not None and present.cluster_id != header.cluster_id
    with TemporaryDirectory() as directory:
        asker = _asker(identity, view, Path(directory))
        peers = {} if present is None or is_stranger else present.peers
        living = _look_for_the_living(config, asker, header, view, peers)
    names = {node.id: node.name for node in view.all(Node)}
    return Restoring(
        header=header,
        digest=machine.digest(),
        records=sum(1 for _ in view.records()),
        alive=tuple(
            f"{names.get(node_id, node_id[:12])} at {address}" for node_id, address in sorted(living.at.items())
        ),
        newest=living.newest,
        stranger=present.cluster_name if present is not None and is_stranger else "",
    )


def refuse_beside_the_living(restoring: Restoring) -> None:
    """Raise Conflict if the backup's cluster lives, or if this node belongs to another one."""
    name = restoring.header.cluster_name
    if restoring.stranger:
        raise Conflict(
            f"This node is a member of another cluster, {restoring.stranger}: let it leave that first (noded node"
            " leave). With --force it is torn out of it, its log is set aside, and the others must forget it."
        )
    if restoring.alive:
        raise Conflict(
            f"Members of cluster {name} are alive: {', '.join(restoring.alive)}. Two clusters of one name must not go"
            " on side by side. If they can still reach a majority, nothing needs restoring; if not, `noded cluster"
            " recover` on one of them loses less. With --force this node begins a newer life of the cluster with the"
            " backup's state: whoever of them hears of it sets its log aside and follows, and everything that they"
            " acknowledged since the backup is lost."
        )


@dataclass(frozen=True)
class _Living:
    """Who of a cluster was found, where, and the newest life that anybody told of."""

    at: dict[NodeId, str]
    newest: Incarnation | None


def _look_for_the_living(config: Config, asker: Asker, header: BackupHeader, view: View, peers: _Addresses) -> _Living:
    """Ask who the backup names, who this node knew, and who announces itself."""
    members = {**peers, **{NodeId(node.id): node.addresses for node in view.all(Node)}}
    members.pop(asker.node_id, None)
    answering = who_answers(members)
    try:
        announced = members_announced(header.cluster_name, [own_address(config.address, config.interface)])
    except (NoAddress, OSError):
        announced = {}  # without a network there is nobody to meet
    at = {node_id: sighting.addresses[0] for node_id, sighting in announced.items()} | answering
    at.pop(asker.node_id, None)
    lives = [header.incarnation, _own_life(config), *(life_at(asker, address) for address in at.values())]
    return _Living(at, max((life for life in lives if life is not None), default=None))


def _asker(identity: NodeIdentity, view: View, directory: Path) -> Asker:
    """This node, with a certificate of the backup's own authority: nobody else is told which life is followed."""
    authority = authority_in(view)
    if authority is None:
        raise BackupRefused("It holds no cluster.")
    make_private_directory(tls_directory(directory))
    node_key_file(directory).write_bytes(identity.key_pem)
    authority_file(directory).write_bytes(authority.certificate_pem)
    node_certificate_file(directory).write_bytes(sign_node(authority, identity.public_key, datetime.now(UTC)))
    return Asker(identity.node_id, member_contexts(directory))


def _own_life(config: Config) -> Incarnation | None:
    directory = config.state / LOG_DIRECTORY
    try:
        return read_incarnation(directory)
    except (JournalDamaged, CheckpointRefused):
        return None  # a damaged log is one more reason to restore, and none against it
