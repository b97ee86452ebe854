"""Of which cluster is this node a member? One small file, `<state>/membership.json`, says so, for good.

It is the last thing written when a node founds or is admitted: before it exists the node belongs nowhere and may try
again; once it exists the node never founds and never asks for admission again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import trio

from consensus.admission import Admitted, EntryConfig
from consensus.authority import Authority, found_authority, sign_node
from consensus.host.files import remove_durably, write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.tls import TlsContexts, authority_file, member_contexts, node_certificate_file, tls_directory
from consensus.members.commands import FoundCluster
from consensus.members.model import Node
from consensus.naming import gone_file
from noded.core.ids import NodeId
from noded.core.unreadable import UNREADABLE


class MembershipFault(Exception):  # noqa: N818
    """The files in the state directory contradict one another; the message says how."""


@dataclass(frozen=True)
class Membership:
    """What a member knows of its cluster before it has read the log."""

    node_id: NodeId
    cluster_id: str
    cluster_name: str
    founder: bool  # this node founded the cluster, and the log does not say so yet: `settle_founding`
    tls: TlsContexts
    peers: Mapping[NodeId, tuple[str, ...]]  # where the other members were last known to be
    authority: Authority | None = field(repr=False)  # the founder's, until the log has it


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    version: int = 1
    node_id: NodeId
    cluster_id: str
    cluster_name: str
    founder: bool
    peers: dict[NodeId, tuple[str, ...]]


class _Promise(msgspec.Struct, frozen=True, kw_only=True):
    """The file that says to whom an unclaimed node has promised itself."""

    promised: NodeId


def read_membership(state_dir: Path, identity: NodeIdentity) -> Membership | None:
    """What the state directory says, or None if the node is unclaimed. Raises MembershipFault."""
    path = membership_file(state_dir)
    if not path.exists():
        return None
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except UNREADABLE as error:
        raise MembershipFault(f"{path} can't be read: {error}") from error
    if kept.node_id != identity.node_id:
        raise MembershipFault(
            f"{path} belongs to node {kept.node_id}, but the key in {tls_directory(state_dir)} is that of node"
            f" {identity.node_id}. Put the right node.key back."
        )
    if not kept.founder:
        remove_durably(_authority_key_file(state_dir))
    authority = _kept_authority(state_dir) if kept.founder else None
    tls = member_contexts(state_dir)
    return Membership(kept.node_id, kept.cluster_id, kept.cluster_name, kept.founder, tls, kept.peers, authority)


def found(state_dir: Path, identity: NodeIdentity, cluster_name: str) -> Membership:
    """Make a cluster, with this node as its only member. On disk, whole, when it returns."""
    now = datetime.now(UTC)
    authority = found_authority(cluster_name, now)
    write_durably(_authority_key_file(state_dir), authority.key_pem)
    write_durably(authority_file(state_dir), authority.certificate_pem)
    write_durably(node_certificate_file(state_dir), sign_node(authority, identity.public_key, now))
    tls = member_contexts(state_dir)
    kept = _Kept(node_id=identity.node_id, cluster_id=uuid4().hex, cluster_name=cluster_name, founder=True, peers={})
    write_durably(membership_file(state_dir), msgspec.json.encode(kept))
    return Membership(kept.node_id, kept.cluster_id, kept.cluster_name, True, tls, kept.peers, authority)


def join(state_dir: Path, identity: NodeIdentity, admitted: Admitted) -> Membership:
    """Become the member that a cluster has admitted. Raises ssl.SSLError if the certificate is not for this key."""
    write_durably(authority_file(state_dir), admitted.authority_pem)
    write_durably(node_certificate_file(state_dir), admitted.certificate_pem)
    tls = member_contexts(state_dir)
    kept = _Kept(
        node_id=identity.node_id,
        cluster_id=admitted.cluster_id,
        cluster_name=admitted.cluster_name,
        founder=False,
        peers={node_id: addresses for node_id, addresses in admitted.peers.items() if node_id != identity.node_id},
    )
    write_durably(membership_file(state_dir), msgspec.json.encode(kept))
    return Membership(kept.node_id, kept.cluster_id, kept.cluster_name, False, tls, kept.peers, None)


def founding_command(membership: Membership, config: EntryConfig, identity: NodeIdentity, now_ms: int) -> FoundCluster:
    """The first command of the cluster that this node founded: to be proposed for as long as `founder` says so."""
    authority = membership.authority
    assert authority is not None, "only a founder has the authority's key outside the log"
    return FoundCluster(
        cluster_id=membership.cluster_id,
        name=membership.cluster_name,
        authority_certificate_pem=authority.certificate_pem.decode(),
        authority_key_pem=authority.key_pem.decode(),
        founder=Node(
            id=identity.node_id,
            name=config.name,
            addresses=config.addresses,
            fingerprint=identity.fingerprint,
            admitted_at_ms=now_ms,
            release=config.release,
            role=config.role,
        ),
        now_ms=now_ms,
    )


class KeptPeers:
    """Implements `consensus.members.links.PeerBook` in the membership file."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    async def keep(self, addresses: Mapping[NodeId, tuple[str, ...]], gone: Collection[NodeId]) -> None:
        """Remember these addresses and no others: they are the `peers` of the next start."""
        await trio.to_thread.run_sync(_keep_peers, self._state_dir, dict(addresses))
        await trio.to_thread.run_sync(_keep_gone, self._state_dir, sorted(gone))


def settle_founding(state_dir: Path) -> None:
    """The log has the cluster's first entry: forget that this node founded, and the authority's key outside the log.

    From now on a node that has lost its log is a member without data, and not a founder who starts a second one.
    """
    path = membership_file(state_dir)
    kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    if kept.founder:
        write_durably(path, msgspec.json.encode(msgspec.structs.replace(kept, founder=False)))
    remove_durably(_authority_key_file(state_dir))


def read_promise(state_dir: Path) -> NodeId | None:
    """To whom this unclaimed node has promised itself. Raises MembershipFault."""
    path = promise_file(state_dir)
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Promise).promised
    except UNREADABLE as error:
        raise MembershipFault(f"{path} can't be read: {error}") from error


def write_promise(state_dir: Path, promised: NodeId) -> None:
    """Keep the promise over a power cut."""
    write_durably(promise_file(state_dir), msgspec.json.encode(_Promise(promised=promised)))


def _keep_peers(state_dir: Path, peers: dict[NodeId, tuple[str, ...]]) -> None:
    path = membership_file(state_dir)
    kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    if kept.peers != peers:
        write_durably(path, msgspec.json.encode(msgspec.structs.replace(kept, peers=peers)))


def _keep_gone(state_dir: Path, gone: list[NodeId]) -> None:
    path = gone_file(tls_directory(state_dir))
    text = "".join(f"{node_id}\n" for node_id in gone).encode()
    if gone or path.exists():
        write_durably(path, text)


def read_gone(state_dir: Path) -> frozenset[NodeId]:
    """The nodes that were members once, as far as this node knew when it last ran."""
    try:
        return frozenset(map(NodeId, gone_file(tls_directory(state_dir)).read_text().split()))
    except FileNotFoundError:
        return frozenset()


def _kept_authority(state_dir: Path) -> Authority:
    key_file = _authority_key_file(state_dir)
    if not key_file.exists():
        raise MembershipFault(f"{key_file} is missing, and the log does not have the cluster's authority yet")
    return Authority(authority_file(state_dir).read_bytes(), key_file.read_bytes())


def membership_file(state_dir: Path) -> Path:
    """The file that makes a node a member."""
    return state_dir / "membership.json"


def promise_file(state_dir: Path) -> Path:
    """The file that keeps an unclaimed node's promise."""
    return state_dir / "promise.json"


def _authority_key_file(state_dir: Path) -> Path:
    return tls_directory(state_dir) / "ca.key"
