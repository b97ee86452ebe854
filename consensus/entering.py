"""What can be said of a node on its way in: what it is called, how it may be claimed, and why it is not in yet."""

from typing import Final

import msgspec

from noded.core.ids import NodeId

FAULTS_MAX: Final = 16
CLUSTER_NAME_CHARS_MAX: Final = 64
# No letters that look like others, and no vowels, so that no word comes of them by chance: 10 of 26 are 47 bits.
CODE_LETTERS: Final = "BCDFGHJKMNPQRSTVWXZ2345679"
CODE_CHARS: Final = 10


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt to get in came to nothing: the newest of its kind."""

    door: str  # "hands-off", "words", "token", "claim"
    by: str  # the node or the address that said no, or that could not be reached
    reason: str
    at_ms: int
    count: int = 1


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster that this node could join, if people say yes on both sides. Its name may not be the only one."""

    cluster_id: str
    cluster_name: str
    member: NodeId
    address: str
    words: str
    agreed: bool  # on this side
    approved: bool  # on the cluster's side
    misfit: str


class EntryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An unclaimed node, as its own console shows it."""

    node_id: NodeId
    fingerprint: str
    name: str
    addresses: tuple[str, ...]
    release: str
    url: str
    claim_code: str  # empty if it has a seed: then it waits for its like
    seed_cluster: str
    expect: int
    sees: int  # nodes with the same seed, this one included
    offers: tuple[Offered, ...]
    faults: tuple[Fault, ...]  # the newest first
    twin: str = ""  # where another machine announces the same identity: a copy of this one's disk


class Agree(msgspec.Struct, frozen=True, kw_only=True):
    """The node's own side says yes to the cluster that shows these words."""

    words: str


def plain_code(code: str) -> str:
    """A claim code as it is compared, however it was typed."""
    return "".join(letter for letter in code.upper() if letter.isalnum())


def shown_code(code: str) -> str:
    """A claim code as it is shown."""
    return f"{code[:5]}-{code[5:]}"


class Faults:
    """The newest faults, one for each door, origin and reason."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def note(self, door: str, by: str, reason: str, now_ms: int) -> bool:
        """Remember. Whether it is news, and not the same as before."""
        same = next(
            (fault for fault in self._faults if (fault.door, fault.by, fault.reason) == (door, by, reason)), None
        )
        if same is not None:
            self._faults.remove(same)
        count = same.count + 1 if same else 1
        self._faults.insert(0, Fault(door=door, by=by, reason=reason, at_ms=now_ms, count=count))
        del self._faults[FAULTS_MAX:]
        return same is None

    def newest(self) -> tuple[Fault, ...]:
        """The newest first."""
        return tuple(self._faults)
