"""What is found by looking at the records and at all nodes' answers together. Pure."""

from collections.abc import Iterable, Mapping

from noded.core.finding import Finding
from noded.core.ids import NodeId
from noded.core.service import Service
from noded.core.store import View
from noded.inspection.model import StoreDigest


def of_records(services: Iterable[Service], view: View) -> list[Finding]:
    """What the records alone show, of every service."""
    return [finding for service in services for examine in service.examines_records for finding in examine(view)]


def of_silence(node_id: NodeId, name: str, why: str) -> Finding:
    """A node that could not be asked: what is on it is not known."""
    return Finding(
        kind="node away",
        subject=node_id,
        what=f"node {name} can't be asked",
        why=why,
        mend="Bring it back; if it is gone for good: `noded node forget`. What is on its machine was not looked at.",
        node_id=node_id,
    )


def of_clock(node_id: NodeId, name: str, off_ms: int) -> Finding:
    """A clock that is not ours."""
    return Finding(
        kind="clocks apart",
        subject=node_id,
        what=f"the clock of node {name} is {abs(off_ms) / 1000:.1f} s {'ahead' if off_ms > 0 else 'behind'}",
        why="it differs from the clock of the node that was asked; tokens and certificates are judged by it",
        mend="Let both follow the same time service (chrony, systemd-timesyncd).",
        node_id=node_id,
    )


def of_digests(digests: Mapping[str, StoreDigest]) -> list[Finding]:
    """Nodes whose records differ although they have applied the same log."""
    by_revision: dict[int, dict[str, list[str]]] = {}
    for name, said in sorted(digests.items()):
        by_revision.setdefault(said.revision, {}).setdefault(said.digest, []).append(name)
    return [
        Finding(
            kind="records differ",
            subject=str(revision),
            what=f"at revision {revision}: {'; '.join(' and '.join(names) for names in groups.values())} differ",
            why="equal logs must give equal records: a fault of noded, or of a machine's memory",
            mend="Report it. A node whose records are wrong is taken out and admitted anew: docs/cluster.md",
        )
        for revision, groups in by_revision.items()
        if len(groups) > 1
    ]
