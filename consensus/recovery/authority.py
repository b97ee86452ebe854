"""Answers other nodes how much of the log this one holds, and root on this host when it backs up or recovers."""

from base64 import b64decode

import msgspec

from consensus.members.model import CLUSTER, ClusterFacts, GoneNode, Node
from consensus.recovery.links import Backups, LogFacts, Rebirth, Taking
from consensus.recovery.model import BeginAgainCall, Known, KnownMember, Life, OpenBackupCall, OpenedBackup
from consensus.recovery.sealing import KEY_BYTES, PASSPHRASE_CHARS_MIN, Passphrase, Recipient
from consensus.recovery.views import life_view
from noded.core.cluster import Cluster
from noded.core.errors import Conflict, Invalid
from noded.core.ids import NodeId
from noded.core.service import PeerContext, PeerHandler


def secret_of(passphrase: str | None, recipient: str | bytes | None) -> Passphrase | Recipient:
    """What a backup is to be sealed with. Raises `Invalid`, which never says the passphrase."""
    if (passphrase is None) == (recipient is None):
        raise Invalid("Give either a passphrase or the public key of a recipient: a backup holds every secret.")
    if passphrase is not None:
        if len(passphrase) < PASSPHRASE_CHARS_MIN:
            raise Invalid(f"The passphrase must have at least {PASSPHRASE_CHARS_MIN} characters: it is all that guards"
                          " the cluster's secrets once the file is out of the house.")  # fmt: skip
        return Passphrase(passphrase)
    try:
        key = b64decode(recipient or b"", validate=True) if isinstance(recipient, str) else recipient
    except ValueError:  # not base64, or not even ASCII
        key = None
    if key is None or len(key) != KEY_BYTES or not any(key):  # nothing can be agreed with a key of zeros
        raise Invalid("The recipient must be a public key as `noded backup keygen` prints it.")
    return Recipient(key)


async def open_backup(cluster: Cluster, backups: Backups, call: OpenBackupCall) -> Taking:
    """A copy of everything that was acknowledged before; with `stale`, of what this node has."""
    secret = secret_of(call.passphrase, call.recipient)
    if not call.stale:
        await cluster.fresh_view()
    return await backups.take(secret)


async def _standing(context: PeerContext, _payload: bytes) -> bytes:
    return msgspec.msgpack.encode(context.drivers.get(LogFacts).standing())


async def _open(context: PeerContext, payload: bytes) -> bytes:
    call = msgspec.msgpack.decode(payload, type=OpenBackupCall)
    backups = context.drivers.get(Backups)
    taking = await open_backup(context.cluster, backups, call)
    facts = context.cluster.view().need(ClusterFacts, CLUSTER)
    return msgspec.msgpack.encode(OpenedBackup(id=backups.shelve(taking), cluster=facts.name, revision=taking.revision))


async def _piece(context: PeerContext, payload: bytes) -> bytes:
    return await context.drivers.get(Backups).next_piece(payload.decode())


async def _lives(context: PeerContext, _payload: bytes) -> bytes:
    lives = sorted(context.cluster.view().all(Life), key=lambda life: life.count)
    return msgspec.msgpack.encode([life_view(life) for life in lives])


async def _known(context: PeerContext, _payload: bytes) -> bytes:
    facts = context.drivers.get(LogFacts)
    standing = facts.standing()
    nodes = {node.id: node for node in context.cluster.view().all(Node)}
    gone = {former.id for former in context.cluster.view().all(GoneNode)} - set(standing.voters)
    everyone = [each for each in dict.fromkeys((*nodes, *facts.peers(), *standing.voters)) if each not in gone]
    known = Known(
        cluster=facts.cluster_name,
        node_name=name_of(nodes.get(standing.node_id), standing.node_id),
        standing=standing,
        others=tuple(
            KnownMember(
                node_id=node_id,
                name=name_of(nodes.get(node_id), node_id),
                addresses=nodes[node_id].addresses if node_id in nodes else facts.peers().get(node_id, ()),
            )
            for node_id in everyone
            if node_id != standing.node_id
        ),
    )
    return msgspec.msgpack.encode(known)


async def _begin_again(context: PeerContext, payload: bytes) -> bytes:
    call = msgspec.msgpack.decode(payload, type=BeginAgainCall)
    name = context.drivers.get(LogFacts).cluster_name
    if call.cluster != name:
        raise Conflict(f"This node belongs to cluster {name}, not to {call.cluster}. Nothing was changed.")
    context.drivers.get(Rebirth).begin_again(call.left_behind)
    return b""


def name_of(node: Node | None, node_id: NodeId) -> str:
    """What people call a node; without a record the beginning of its id."""
    return node.name if node is not None else node_id[:12]


# A node that can't reach a majority after its start knows nothing yet, and must answer these all the same.
EARLY_CALLS = frozenset({"recovery.standing", "recovery.known", "recovery.begin_again"})
PEER_CALLS: dict[str, PeerHandler] = {"recovery.standing": _standing}
LOCAL_CALLS: dict[str, PeerHandler] = {
    "recovery.open_backup": _open,
    "recovery.backup_piece": _piece,
    "recovery.known": _known,
    "recovery.begin_again": _begin_again,
    "recovery.lives": _lives,
}
