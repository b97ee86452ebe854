"""How does a volume stand still for a moment, so that the log can make a snapshot of it? The owner's part.

    running ─freeze─► draining ─quiet─► frozen ─thaw─► thawing ─the log's answer─► running, perhaps in a new layer

While it is frozen the owner writes nothing, every in-sync replica has everything, and the in-sync set stays as it is.
It hands out a *mark*: its epoch, and how often the set has changed. The log makes a snapshot only if both still hold.
So the owner goes on only after the log has counted one change more (`Thaw`): then the mark is worth nothing.
"""

from enum import Enum
from typing import TYPE_CHECKING, Final

from storage.extents.authority import Mark

if TYPE_CHECKING:
    from storage.extents.replication import Owner

# Whoever asked for it may be gone: guests wait no longer than this.
FROZEN_SECONDS_MAX: Final = 8.0
DRAINING_SECONDS_MAX: Final = 8.0


class _State(Enum):
    RUNNING = 1
    DRAINING = 2  # no request begins; those that have begun are ended
    FROZEN = 3  # the mark may have been told
    THAWING = 4  # the log is being told that the mark is worth nothing


class Freezing:
    """Whether one volume stands still."""

    def __init__(self, owner: "Owner") -> None:
        self._owner = owner
        self._state = _State.RUNNING
        self._since = 0.0

    @property
    def holds_back(self) -> bool:
        """Whether guests' requests must not begin."""
        return self._state is not _State.RUNNING

    @property
    def keeps_set(self) -> bool:
        """Whether the in-sync set must stay as it is."""
        return self._state is _State.FROZEN

    @property
    def wants_thaw(self) -> bool:
        """Whether the log is to be told that the mark is worth nothing."""
        return self._state is _State.THAWING

    def freeze(self) -> Mark | None:
        """Stand still. The mark, once the volume does: to be asked again until then."""
        owner = self._owner
        if self._state is _State.RUNNING and owner.writes and owner.is_open:
            self._state = _State.DRAINING
            self._since = owner.surroundings.now()
            owner.hold_back()
            self.advance()
        if self._state is not _State.FROZEN:
            return None
        return Mark(volume_id=owner.volume_id, epoch=owner.epoch, changes=owner.in_sync.volume.changes)

    def thaw(self) -> None:
        """Go on: the snapshot has been made, or nobody makes one."""
        if self._state is _State.DRAINING:
            # Nobody has got a mark.
            self._run()
        elif self._state is _State.FROZEN:
            self._state = _State.THAWING
            self._owner.in_sync.adjust()

    def thawed(self) -> None:
        """The log has counted one change more, or had done so before."""
        self._run()

    def advance(self) -> None:
        """Look whether what had begun has ended."""
        if self._state is _State.DRAINING and self._owner.is_quiet():
            self._state = _State.FROZEN
            self._since = self._owner.surroundings.now()

    def tick(self) -> None:
        """Some time has passed."""
        self.advance()
        waited = self._owner.surroundings.now() - self._since
        limit = FROZEN_SECONDS_MAX if self._state is _State.FROZEN else DRAINING_SECONDS_MAX
        if self._state in {_State.DRAINING, _State.FROZEN} and waited > limit:
            self._owner.surroundings.note("volume was frozen for too long", state=self._state.name)
            self.thaw()

    def _run(self) -> None:
        self._state = _State.RUNNING
        self._owner.go_on()
