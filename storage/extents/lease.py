"""For how long may an owner answer reads without having heard that it is still the owner?

A new owner seals every in-sync replica. One that it can't reach it removes from the set, and that is the danger: an
older owner on the other side of a cut may still read that one, and does not know of newer writes. So an owner reads
under a lease. Each in-sync replica of another node that answers it, sealed by nobody else, renews its part; the part
counts from the moment in which the question was *sent*, and all parts must hold. A new owner that leaves somebody out
waits first, until the lease that its seals have ended must have run out. Nobody asks the log for that, and clocks need
only run alike.

A replica on the owner's own node renews nothing: it is on the same side of every cut.
"""

from typing import TYPE_CHECKING, Final

from storage.extents.member import Member
from storage.extents.requests import Request

if TYPE_CHECKING:
    from storage.extents.replication import Owner

# Replicas are asked every second, and one that does not answer is given up after four.
LEASE_SECONDS: Final = 2.5
# How much faster than another machine's a clock may run over a lease, and how long an answer may be on its way to the
# guest after the lease was looked at.
LEASE_MARGIN_SECONDS: Final = 0.5


class Lease:
    """One owner's right to answer reads."""

    def __init__(self, owner: "Owner") -> None:
        self._owner = owner
        self._renewers: list[Member] = []
        self._waiting: list[Request] = []

    def refresh(self) -> None:
        """Who counts has changed: every in-sync replica of another node renews a part."""
        in_sync = self._owner.in_sync.volume.in_sync
        members = self._owner.members.values()
        self._renewers = [member for member in members if member.disk_id in in_sync and not member.is_local]

    def holds(self) -> bool:
        """Whether reads may be answered now."""
        if not self._owner.writes:
            return True  # what never changes is never out of date
        floor = self._owner.surroundings.now() - LEASE_SECONDS
        return all(member.confirmed_at >= floor for member in self._renewers)

    def wait(self, request: Request) -> None:
        """Let a request begin when the lease holds again."""
        self._waiting.append(request)

    def tick(self) -> None:
        """To be called several times a second."""
        if self._waiting and self.holds():
            waiting, self._waiting = self._waiting, []
            for request in waiting:
                self._owner.admit(request)

    def may_be_left_out(self, now: float) -> bool:
        """Whether an earlier owner that still reads a replica which was not sealed has surely stopped by now.

        The first in-sync replica that was sealed ended its part of the earlier owner's lease, and so all of it.
        """
        in_sync = self._owner.in_sync.volume.in_sync
        sealed = [m.sealed_at for m in self._owner.members.values() if m.disk_id in in_sync and m.sealed_at is not None]
        return bool(sealed) and now - min(sealed) > LEASE_SECONDS + LEASE_MARGIN_SECONDS
