"""How does the log begin anew, on the files of a node whose daemon does not run? And how is its first command told?"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
import trio

from consensus.admission import Admitted, EntryConfig
from consensus.authority import sign_node
from consensus.host.identity import NodeIdentity
from consensus.host.left import may_join_again
from consensus.host.membership import join
from consensus.host.rebirth import begin_again, begin_from, read_incarnation, set_log_aside
from consensus.incarnation import Incarnation
from consensus.machine import Machine
from consensus.members.links import authority_in
from consensus.members.model import CLUSTER, ClusterFacts, Node
from consensus.recovery.archive import BackupHeader, BackupRefused
from consensus.recovery.commands import BeginLife
from consensus.recovery.host.note import copy_log, read_beginning, settle_beginning, write_beginning
from consensus.recovery.model import Beginning, Life
from noded.core.cluster import Cluster
from noded.core.errors import Unavailable
from noded.core.ids import NodeId

LOG_DIRECTORY: Final = "log"
AGAIN_S: Final = 0.2

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Begun:
    """A new life, and where the log from before it is kept."""

    life: Life
    kept_in: Path | None


def recover(state_dir: Path, node_id: NodeId, left_behind: tuple[str, ...], now_ms: int) -> Begun:
    """Make this node the only voter of a new life, with all that its log holds; the log is copied first.

    Raises NoLog, JournalInUse, JournalDamaged, CheckpointRefused, OSError.
    """
    directory = state_dir / LOG_DIRECTORY
    read_incarnation(directory)  # raises before anything is copied if a daemon runs on it, or if it is damaged
    copy = copy_log(directory)
    incarnation = begin_again(directory, node_id)
    life = Life(
        id=incarnation.id,
        count=incarnation.count,
        beginning=Beginning.RECOVERED,
        began_at_ms=now_ms,
        node_id=node_id,
        revision=0,
        left_behind=left_behind,
    )
    write_beginning(state_dir, life)
    return Begun(life, copy)


def restore(
    state_dir: Path, identity: NodeIdentity, header: BackupHeader, machine: Machine, after: Incarnation | None,
    now_ms: int,
) -> Begun:  # fmt: skip
    """Make a cluster of one node of a backup's state. What the node was before is set aside.

    `after`: the newest life of that cluster that anybody knows of. Raises BackupRefused, JournalInUse, OSError.
    """
    view = machine.picture
    facts, authority = view.get(ClusterFacts, CLUSTER), authority_in(view)
    if facts is None or authority is None:
        raise BackupRefused("It holds no cluster.")
    directory = state_dir / LOG_DIRECTORY
    aside = set_log_aside(directory)
    incarnation = begin_from(
        directory, identity.node_id, machine.capture().blocks(), revision=header.revision, after=after
    )
    life = Life(
        id=incarnation.id,
        count=incarnation.count,
        beginning=Beginning.RESTORED,
        began_at_ms=now_ms,
        node_id=identity.node_id,
        revision=header.revision,
        backup_taken_at_ms=header.taken_at_ms,
    )
    write_beginning(state_dir, life)
    certificate = sign_node(authority, identity.public_key, datetime.fromtimestamp(now_ms / 1000, UTC))
    join(
        state_dir,
        identity,
        Admitted(
            cluster_id=facts.cluster_id,
            cluster_name=facts.name,
            authority_pem=authority.certificate_pem,
            certificate_pem=certificate,
            peers={NodeId(node.id): node.addresses for node in view.all(Node)},
        ),
    )
    may_join_again(state_dir)
    return Begun(life, aside)


async def tell_beginning(
    cluster: Cluster, incarnation: Incarnation | None, state_dir: Path, entry: EntryConfig, identity: NodeIdentity
) -> None:
    """If the log began anew on this node, let it say so, and who this node is. Returns when that is durable."""
    life = read_beginning(state_dir)
    if life is None:
        return
    if incarnation is None or incarnation.id != life.id:
        settle_beginning(state_dir)  # this node follows another life by now
        return
    node = Node(
        id=identity.node_id,
        name=entry.name,
        addresses=entry.addresses,
        fingerprint=identity.fingerprint,
        admitted_at_ms=life.began_at_ms,
        release=entry.release,
        role=entry.role,
    )
    while True:
        try:
            await cluster.propose(BeginLife(life=life, node=node))
        except Unavailable as fault:
            log.info("the new life is not confirmed yet", reason=fault.message)
            await trio.sleep(AGAIN_S)
        else:
            break
    settle_beginning(state_dir)
    log.warning("the cluster's log began anew", beginning=life.beginning.value, life=life.count)
