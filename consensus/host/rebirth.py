"""How does a log begin anew: after the loss of its majority, or from a backup? On files, while no process runs on them.

Both make a log whose only voter is one node, of an incarnation that is newer than the one before. What nodes of older
ones hold is not merged: they step back, set their log aside, and join again.
"""

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from consensus.host import checkpoint
from consensus.host.checkpoint import Header, Part
from consensus.host.core import beginning, change_of_voters, incarnation_in, voters_in
from consensus.host.files import make_private_directory, sync_directory
from consensus.host.journal import Journal
from consensus.host.keepsakes import drop_old, next_keepsake, stamp
from consensus.host.seams import Entry, EntryKind
from consensus.host.shelf import Shelf
from consensus.incarnation import ID_BYTES, UNNAMED, Incarnation

CHECKPOINT_NAME: Final = "checkpoint"
JOURNAL_NAME: Final = "journal"
ASIDE: Final = "aside"


class NoLog(Exception):  # noqa: N818
    """There is no log in that directory, or there is one where none may be; the message says which."""


def new_incarnation_id() -> str:
    """What tells one life of a log from any other."""
    return secrets.token_hex(ID_BYTES)


def read_incarnation(directory: Path) -> Incarnation | None:
    """Which life the log in `directory` is of, before anybody opens it; None if it is empty.

    Raises JournalInUse, JournalDamaged, CheckpointRefused, OSError.
    """
    if not directory.exists():
        return None
    journal = Journal(directory / JOURNAL_NAME)
    try:
        voters, incarnation = _read(directory, journal)
    finally:
        journal.close()
    return incarnation or (UNNAMED if voters else None)


def begin_again(directory: Path, node_id: str) -> Incarnation:
    """Make this node the only voter of the log in `directory`, in a new life, with all that the log holds.

    For a majority that is lost for good: what only the others had acknowledged is missing, and what this node holds
    beyond the last commit that it heard of becomes valid. Raises NoLog, and what `read_incarnation` raises.
    """
    journal = Journal(directory / JOURNAL_NAME)
    try:
        voters, before = _read(directory, journal)
        if not voters:
            raise NoLog(f"{directory} holds no log of a cluster: there is nothing to go on with")
        incarnation = (before or UNNAMED).next(new_incarnation_id())
        commands = [change_of_voters("rem", other) for other in sorted(voters - {node_id})]
        if node_id not in voters:
            commands.append(change_of_voters("add", node_id))
        term = max(journal.term, journal[-1][2]) + 1
        for command in [*commands, beginning(incarnation)]:
            journal.add(command, journal[-1][1] + 1, term)
        journal.set_vote(term, None)
        journal.sync()
    finally:
        journal.close()
    return incarnation


def begin_from(
    directory: Path,
    node_id: str,
    state: Iterable[bytes],
    *,
    revision: int,
    after: Incarnation | None,
    breathe: Callable[[], None] = lambda: None,
) -> Incarnation:
    """Make a log in the empty `directory`: its state is `state` (a capture's blocks), its only voter this node.

    `revision`: the index at which that state stood; the new log goes on behind it. `after`: the newest life known.
    Raises NoLog, CheckpointRefused, OSError.
    """
    make_private_directory(directory)
    if any((directory / name).exists() for name in (CHECKPOINT_NAME, JOURNAL_NAME)):
        raise NoLog(f"{directory} holds a log already; set it aside first")
    incarnation = (after or UNNAMED).next(new_incarnation_id())
    nothing = bytes([EntryKind.NOTHING])
    previous: Entry = (nothing, revision + 1, 1)
    last: Entry = (beginning(incarnation), revision + 2, 1)
    header = Header(previous=previous, last=last, voters=(node_id,), incarnation=incarnation)
    journal = Journal(directory / JOURNAL_NAME)
    try:
        journal.set_vote(1, None)
        journal.sync()
        parts = ((Part.STATE, block) for block in state)
        checkpoint.write(directory / CHECKPOINT_NAME, header, parts, breathe)
    finally:
        journal.close()
    return incarnation


def set_log_aside(directory: Path) -> Path | None:
    """Move the log in `directory` away, so that the node joins with an empty one. Where it is now, if there was one.

    Only for a node that votes no more in the life that goes on. Earlier ones are kept (`keepsakes.py`).
    """
    if not directory.exists():
        return None
    aside = next_keepsake(directory, ASIDE)
    stamp(directory)
    directory.rename(aside)
    sync_directory(directory.parent)
    drop_old(directory, ASIDE)
    return aside


def _read(directory: Path, journal: Journal) -> tuple[set[str], Incarnation | None]:
    """Who votes in which life after all that the log holds. In memory, the journal then continues the checkpoint."""
    if (directory / CHECKPOINT_NAME).exists():
        checkpoint.verify(directory / CHECKPOINT_NAME)
    header = Shelf(directory / CHECKPOINT_NAME).header()
    newer = journal.since(header.index + 1) if header is not None else journal[:]
    held = None if header is None else journal.at(header.index)
    if header is not None and (held is None or held[2] != header.last[2]):
        newer = []  # the checkpoint came from a leader whose log is another: what the journal holds is void
        journal.clear()
        journal.add(*header.previous)
        journal.add(*header.last)
    if header is None:
        return voters_in(newer, ()), incarnation_in(newer, None)
    return voters_in(newer, header.voters), incarnation_in(newer, header.incarnation)
