"""Who sees to it that the log's disk does not fill up under a leader? One task that looks, and hands over in time."""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from consensus.host.changing import Changes
from consensus.host.core import Core
from consensus.host.reserve import Reserve
from consensus.log import MembershipRefused, NotLeader
from consensus.room import Standing

LOOK_S: Final = 0.5
HANDOVER_S_MAX: Final = 2.0
HANDOVER_AGAIN_S: Final = 5.0

log = structlog.get_logger(__name__)


class Housekeeping:
    """The watch over one node's room. `kick` lets the node's loop run."""

    def __init__(self, core: Core, changes: Changes, reserve: Reserve, kick: Callable[[], None]) -> None:
        self._core = core
        self._changes = changes
        self._reserve = reserve
        self._kick = kick
        self._limiter = trio.CapacityLimiter(1)
        self._hand_over_not_before = 0.0
        core.set_room(reserve.standing, reserve.shortage)

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self._look()
            await trio.sleep(LOOK_S)

    async def _look(self) -> None:
        before = self._core.standing
        try:
            await trio.to_thread.run_sync(self._reserve.look, limiter=self._limiter)
        except OSError as error:
            log.error("the room on the log's disk can't be read", reason=str(error))
            return
        now = self._reserve.standing
        self._core.set_room(now, self._reserve.shortage)
        if now is not before:
            say = log.info if now is Standing.ENOUGH else log.warning
            free, needed = self._reserve.free_bytes, self._reserve.low_bytes
            say("room on the log's disk", standing=now.name.lower(), free_bytes=free, needed_bytes=needed)
            self._kick()
        if now is not Standing.ENOUGH and self._core.leads and trio.current_time() >= self._hand_over_not_before:
            self._hand_over_not_before = trio.current_time() + HANDOVER_AGAIN_S
            await self.hand_over(HANDOVER_S_MAX)

    async def hand_over(self, patience_s: float) -> bool:
        """Let a voter with room lead, if this node leads and there is one. Whether it leads no more."""
        successors = self._core.successors()
        if not self._core.leads or not successors:
            return not self._core.leads
        try:
            await self._changes.transfer_leadership(successors[0], patience_s=patience_s)
        except (NotLeader, MembershipRefused) as refusal:
            log.warning("leadership not handed over", to=successors[0], reason=str(refusal))
        else:
            log.info("leadership handed over", to=successors[0])
        return not self._core.leads
