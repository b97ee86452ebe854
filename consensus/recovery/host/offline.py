"""What do the files of a node say of the log and of the state, while no daemon runs on them?"""

from collections.abc import Iterator
from pathlib import Path

from consensus.codec import Codec
from consensus.host import checkpoint
from consensus.host.applying import Applier
from consensus.host.checkpoint import Part
from consensus.host.core import incarnation_in, voters_in
from consensus.host.journal import Journal
from consensus.host.rebirth import CHECKPOINT_NAME, JOURNAL_NAME
from consensus.host.seams import Entry, EntryKind
from consensus.host.shelf import Shelf
from consensus.incarnation import UNNAMED
from consensus.machine import Machine
from consensus.recovery.model import LogStanding
from noded.core.ids import NodeId


def read_log(directory: Path, node_id: NodeId, codec: Codec) -> tuple[LogStanding, Machine]:
    """What the log in `directory` holds, and the state after all of it, what may not be committed too.

    Raises JournalInUse (a daemon runs), JournalDamaged, CheckpointRefused, OSError.
    """
    path = directory / CHECKPOINT_NAME
    machine = Machine(codec)
    applier = Applier(machine)
    journal = Journal(directory / JOURNAL_NAME)
    try:
        header = None
        if path.exists():
            checkpoint.verify(path)
            header = Shelf(path).header()
            applier.restored(_load(path, machine))
        entries = _newer(journal, 0 if header is None else header.index)
        for command, index, _ in entries:
            if command[0] == EntryKind.REQUEST:
                applier.apply(index, command[1:])
        last = entries[-1] if entries else (header.last if header is not None else (b"", 0, 0))
        voters = voters_in(entries, () if header is None else header.voters)
        incarnation = incarnation_in(entries, None if header is None else header.incarnation)
        standing = LogStanding(
            node_id=node_id,
            incarnation=incarnation or (UNNAMED if voters else None),
            last_term=last[2],
            last_index=last[1],
            committed_index=max(journal.commit_hint if entries else 0, 0 if header is None else header.index),
            voters=tuple(NodeId(voter) for voter in sorted(voters)),
            leader_id=None,
        )
    finally:
        journal.close()
    return standing, machine


def _load(path: Path, machine: Machine) -> list[bytes]:
    """Restore the state from a checkpoint; its blocks of request ids."""
    ids: list[bytes] = []

    def states() -> Iterator[bytes]:
        for part, content in checkpoint.read(path):
            if part is Part.REQUESTS:
                ids.append(content)
            else:
                yield content

    machine.restore(states())
    return ids


def _newer(journal: Journal, index: int) -> list[Entry]:
    """The journal's entries behind the checkpoint; none if it belongs to another log than the checkpoint does."""
    if not len(journal) or (index and journal.first_index > index):
        return []
    return journal.since(index + 1)
