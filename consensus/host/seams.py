# ruff: noqa: N802  # the names below are pysyncobj's
"""Which private parts of pysyncobj does the engine stand on? All of them are named here, and nowhere else.

pysyncobj gives the skeleton: terms, votes, the queue of proposals, their forwarding to the leader, commit and apply.
The engine replaces the rest by overriding private methods, so a release of pysyncobj with another source may break it
silently. Therefore importing this module compares the source with the one that the engine was made for.
"""

import _socket
import hashlib
import socket
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar, cast, overload

from pysyncobj import SyncObj, SyncObjConf, syncobj
from pysyncobj.node import Node as Node  # noqa: PLC0414  # the engine names nodes as pysyncobj does
from pysyncobj.transport import Transport

# Importing pysyncobj puts Windows' inet_ntop in the place of this system's, for the whole process.
socket.inet_ntop = _socket.inet_ntop

T = TypeVar("T")

Entry = tuple[bytes, int, int]
"""One entry of the log: its command (a kind byte, then the content), its index, its term."""

Message = dict[str, object]
"""What one node says to another; `consensus/host/messages.py` knows every form."""

SOURCE_FILES: Final = ("syncobj.py", "transport.py", "node.py", "config.py", "fast_queue.py", "monotonic.py")
SOURCE_SHA256: Final = "9a505d6c2d69996f803bfc05e49fbff402262496bd3a93335a5d19956307c8a8"

OVERRIDDEN: Final = (
    "__doApplyCommand",
    "__parseChangeClusterRequest",
    "__changeCluster",
    "__sendAppendEntries",
    "__tryLogCompaction",
    "__onBecomeLeader",
)


def clock() -> float:
    """The only clock that may be compared with the deadlines inside (CLOCK_MONOTONIC_RAW, seconds)."""
    return float(syncobj.monotonicTime())


def set_clock(now: Callable[[], float]) -> Callable[[], float]:
    """Let every core in this process live by another clock, as simulations do. Returns the one before."""
    before: Callable[[], float] = syncobj.monotonicTime
    syncobj.monotonicTime = now
    return before


class SeamsMoved(Exception):  # noqa: N818
    """The installed pysyncobj is not the one that the engine was made for."""


class Role(IntEnum):
    """What a node is in its term."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2


class EntryKind(IntEnum):
    """The first byte of an entry's command."""

    REQUEST = 0
    NOTHING = 1
    MEMBERSHIP = 2
    INCARNATION = 16  # pysyncobj has one of its own at 3


class Failure(IntEnum):
    """Why a proposal did not get its place in the log, or SUCCESS."""

    SUCCESS = 0
    QUEUE_FULL = 1
    MISSING_LEADER = 2
    DISCARDED = 3
    NOT_LEADER = 4
    LEADER_CHANGED = 5
    REQUEST_DENIED = 6
    UNKNOWN_OUTCOME = 7


ProposalDone = Callable[[object, int], None]
"""Called inside the tick with the result and a `Failure`."""


class JournalParts(Protocol):
    """What pysyncobj asks of the journal."""

    def add(self, command: bytes, index: int, term: int) -> None: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, position: int) -> Entry: ...
    @overload
    def __getitem__(self, position: slice) -> list[Entry]: ...
    @property
    def term(self) -> int: ...
    @property
    def voted_for(self) -> str | None: ...
    @property
    def commit_hint(self) -> int: ...
    def set_vote(self, term: int, voted_for: str | None) -> None: ...
    def set_commit_hint(self, index: int) -> None: ...


class Private(Generic[T]):
    """A private attribute or method of SyncObj under a name and a type of ours."""

    names: Final[list[str]] = []

    def __init__(self, name: str) -> None:
        self._mangled = f"_SyncObj{name}"
        Private.names.append(name)

    def __get__(self, core: object, owner: type | None = None) -> T:
        return cast(T, getattr(core, self._mangled))

    def __set__(self, core: object, value: T) -> None:
        setattr(core, self._mangled, value)


class Skeleton(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """SyncObj with its private parts under the house's names. Subclasses define the hooks at the end."""

    self_node = Private[Node]("__selfNode")
    other_voters = Private[set[Node]]("__otherNodes")
    learner_nodes = Private[set[Node]]("__readonlyNodes")
    linked_nodes = Private[set[Node]]("__connectedNodes")
    role = Private[int]("__raftState")
    current_term = Private[int]("__raftCurrentTerm")
    leader_node = Private["Node | None"]("__raftLeader")
    election_deadline = Private[float]("__raftElectionDeadline")
    handing_over = Private[bool]("__transferInProgress")
    committed = Private[int]("__raftCommitIndex")
    applied = Private[int]("__raftLastApplied")
    leader_committed = Private["int | None"]("__leaderCommitIndex")
    next_index = Private[dict[Node, int]]("__raftNextIndex")
    match_index = Private[dict[Node, int]]("__raftMatchIndex")
    answered_at = Private[dict[Node, float]]("__lastResponseTime")
    heartbeat_due = Private[float]("__newAppendEntriesTime")
    first_own_index = Private["int | None"]("__noopIDx")
    _last_forward_id = Private[int]("__commandsLocalCounter")
    _must_load_dump = Private[bool]("__needLoadDumpFile")
    _waiting_for_commit = Private[dict[int, list[tuple[int, ProposalDone]]]]("__commandsWaitingCommit")

    set_role = Private[Callable[[int], None]]("__setState")
    set_term = Private[Callable[[int, "str | None"], None]]("__setCurrentTerm")
    forget_forwards = Private[Callable[[], None]]("__onLeaderChanged")
    election_timeout_s = Private[Callable[[], float]]("__generateRaftTimeout")
    last_index = Private[Callable[[], int]]("__getCurrentLogIndex")
    last_term = Private[Callable[[], int]]("__getCurrentLogTerm")
    linked_to_anyone = Private[Callable[[], bool]]("__connectedToAnyone")
    stock_change_voters = Private[Callable[[tuple[str, str, Node], bool], bool]]("__doChangeCluster")
    stock_receive = Private[Callable[[Node, Message], None]]("__onMessageReceived")
    stock_voter_linked = Private[Callable[[Node], None]]("__onNodeConnected")
    stock_voter_unlinked = Private[Callable[[Node], None]]("__onNodeDisconnected")
    stock_learner_linked = Private[Callable[[Node], None]]("__onReadonlyNodeConnected")
    stock_learner_unlinked = Private[Callable[[Node], None]]("__onReadonlyNodeDisconnected")

    def __init__(
        self, me: str, voters: frozenset[str], settings: SyncObjConf, send: Callable[[str, Message], None]
    ) -> None:
        others = [Node(voter) for voter in voters if voter != me]
        super().__init__(Node(me), others, conf=settings, nodeClass=Node, transport=_Outlet(send))
        # The ids of forwarded proposals start at 0 in stock: after a restart, an answer meant for the life before
        # would acknowledge another proposal.
        self.number_of_life = syncobj.random.getrandbits(60)
        self._last_forward_id = self.number_of_life
        self._must_load_dump = False

    def __dir__(self) -> list[str]:
        # SyncObj looks for replicated methods by evaluating every attribute of the half-built object. It has none.
        return []

    def stock_tick(self) -> None:
        """Elect, commit, apply, and take proposals from the queue."""
        SyncObj._onTick(self, 0.0)  # noqa: SLF001

    def stock_become_leader(self) -> None:
        SyncObj._SyncObj__onBecomeLeader(self)  # noqa: SLF001

    def submit(self, kind: EntryKind, content: bytes, done: ProposalDone) -> None:
        """Queue a proposal; the next tick gives it its place in the log, or forwards it to the leader."""
        self._applyCommand(content, done, kind)

    def stock_hand_over(self, node: Node | None, done: ProposalDone) -> None:
        """Ask a voter that has the whole log to campaign at once."""
        self.transferLeadership(node, done)

    def give_up_waiting(self, index: int) -> None:
        """Tell those who wait for the commit of entries up to `index` that they will not see it."""
        for waited in [waited for waited in self._waiting_for_commit if waited <= index]:
            for _, done in self._waiting_for_commit.pop(waited):
                done(None, Failure.UNKNOWN_OUTCOME)

    # pysyncobj calls these; each leads to a hook with a name of ours.

    def _SyncObj__doApplyCommand(self, command: bytes) -> object:
        return self.apply_entry(self.applied + 1, command)

    def _SyncObj__parseChangeClusterRequest(self, command: bytes) -> tuple[str, str, Node] | None:
        return self.membership_request(command)

    def _SyncObj__changeCluster(self, request: tuple[str, str, Node]) -> bool:
        return self.admit_change(request)

    def _SyncObj__sendAppendEntries(self) -> None:
        self.replicate()

    def _SyncObj__tryLogCompaction(self) -> None:
        self.compact_when_due()

    def _SyncObj__onBecomeLeader(self) -> None:
        self.become_leader()

    def apply_entry(self, index: int, command: bytes) -> object:
        raise NotImplementedError

    def membership_request(self, command: bytes) -> tuple[str, str, Node] | None:
        raise NotImplementedError

    def admit_change(self, request: tuple[str, str, Node]) -> bool:
        raise NotImplementedError

    def replicate(self) -> None:
        raise NotImplementedError

    def compact_when_due(self) -> None:
        raise NotImplementedError

    def become_leader(self) -> None:
        raise NotImplementedError


class _Outlet(Transport):  # type: ignore[misc]
    """pysyncobj's transport, reduced to its one use: what it wants to say goes to `send`."""

    def __init__(self, send: Callable[[str, Message], None]) -> None:
        super().__init__(None, None, [])
        self._send = send

    def send(self, node: Node, message: Message) -> bool:
        self._send(node.id, message)
        return True

    def addNode(self, node: Node) -> None:
        """Links follow the address book, and not pysyncobj."""

    def dropNode(self, node: Node) -> None:
        """As `addNode`."""

    def destroy(self) -> None:
        """Nothing is held here."""


class JournalAdapter:
    """The journal under pysyncobj's names."""

    def __init__(self, journal: JournalParts) -> None:
        self._journal = journal
        self.add = journal.add

    def __len__(self) -> int:
        return len(self._journal)

    def __getitem__(self, position: int | slice) -> Entry | list[Entry]:
        return self._journal[position]

    def getCurrentTerm(self) -> int:
        return self._journal.term

    def getVotedForNodeId(self) -> str | None:
        return self._journal.voted_for

    def setCurrentTerm(self, term: int, voted_for: str | None) -> None:
        self._journal.set_vote(term, voted_for)

    def getRaftCommitIndex(self) -> int:
        return self._journal.commit_hint

    def setRaftCommitIndex(self, index: int) -> None:
        self._journal.set_commit_hint(index)

    def onOneSecondTimer(self) -> None:
        """Stock stores the commit index once a second; ours is a hint that rides with other records."""


class _NoPoller:
    """trio owns the sockets."""

    def poll(self, timeout_s: float) -> None:
        """Nothing to wait for."""


def settings_for(journal: JournalParts, **timing: object) -> SyncObjConf:
    """pysyncobj's configuration: no thread, no file, no fork of its own."""
    return SyncObjConf(
        autoTick=False,
        journalFile=journal,
        fullDumpFile=None,
        useFork=False,
        dynamicMembershipChange=True,
        appendEntriesUseBatch=True,
        commandsWaitLeader=False,
        **timing,
    )


def source_sha256() -> str:
    """The hash of the installed pysyncobj, over the files that the engine stands on."""
    hasher = hashlib.sha256()
    for name in SOURCE_FILES:
        hasher.update(_source(name).encode())
    return hasher.hexdigest()


def missing_names() -> list[str]:
    """Private names that the engine uses and the installed pysyncobj does not have."""
    source = _source("syncobj.py")
    return [name for name in (*Private.names, *OVERRIDDEN) if f"self.{name}" not in source]


def check() -> None:
    """Raise SeamsMoved unless the installed pysyncobj is exactly the one that the engine was made for."""
    if missing := missing_names():
        raise SeamsMoved(f"the installed pysyncobj lacks {', '.join(missing)}; install pysyncobj 0.3.17")
    if (found := source_sha256()) != SOURCE_SHA256:
        raise SeamsMoved(f"the installed pysyncobj has the source {found} and not {SOURCE_SHA256}; install 0.3.17")


def _source(name: str) -> str:
    return (Path(syncobj.__file__).parent / name).read_text(encoding="utf-8")


check()
syncobj.createJournal = JournalAdapter
syncobj.createPoller = lambda _kind: _NoPoller()
syncobj.Serializer = lambda *_arguments: None  # checkpoints are the engine's own
syncobj.PIPE_NOTIFIER_ENABLED = False
