"""When does a node start over? When it is no member any more, when it may join again, when its address has changed.

Each is the end of everything that runs (an exception out of the daemon's nursery) and a new start of the same process:
what must go on, guests and their disks, are processes of their own.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
import trio

from consensus.host import keepsakes
from consensus.host.checkpoint import CheckpointRefused
from consensus.host.departing import finish_leaving, leave
from consensus.host.identity import NodeIdentity
from consensus.host.journal import JournalDamaged
from consensus.host.left import left_file, read_left
from consensus.host.rebirth import NoLog
from consensus.recovery.host.recovering import recover
from noded.config import Config
from noded.core.clock import now_ms
from noded.host.machine import NoAddress, own_address, start_again

TOLD_S: Final = 1.0  # how long a node that is no member any more goes on, so that its last answers get out
RELEASE_S_MAX: Final = 30.0
LOOK_S: Final = 0.5
SAME_ADDRESS_LOOKS: Final = 2  # an interface that is being configured may show an address for a moment

log = structlog.get_logger(__name__)


class Departed(Exception):  # noqa: N818  # what happened, not what failed
    """This node is no member any more; the message says why."""


class BeginAgain(Exception):  # noqa: N818  # the same
    """This node is to begin a new life of the cluster's log, without those who voted before."""

    def __init__(self, left_behind: tuple[str, ...]) -> None:
        super().__init__("the cluster is recovered on this node")
        self.left_behind = left_behind


class StartOver(Exception):  # noqa: N818  # the same
    """Something that the node read at its start is otherwise now; the message says what."""


async def _nothing() -> None:
    """What a node without guests and disks has to let go of."""


class NodeExit:
    """Implements `consensus.members.links.Exit`: `run` raises `Departed` once somebody says that the node is gone."""

    def __init__(self) -> None:
        self.release: Callable[[], Awaitable[None]] = _nothing  # lets go of what still runs on this machine
        self._why: str | None = None
        self._said = trio.Event()

    def leave(self, why: str) -> None:
        if self._why is None:
            log.warning("node is no member any more", reason=why)
            self._why = why
            self._said.set()

    async def run(self) -> None:
        """Wait until the node is gone. Raises Departed."""
        await self._said.wait()
        await trio.sleep(TOLD_S)
        with trio.move_on_after(RELEASE_S_MAX) as patience:
            await self.release()
        if patience.cancelled_caught:
            log.warning("something still runs on this machine", waited_s=RELEASE_S_MAX)
        raise Departed(self._why)


class NodeRebirth:
    """Implements `consensus.recovery.links.Rebirth`: `run` raises `BeginAgain` once somebody asked for it."""

    def __init__(self) -> None:
        self._left_behind: tuple[str, ...] = ()
        self._asked = trio.Event()

    def begin_again(self, left_behind: tuple[str, ...]) -> None:
        self._left_behind = left_behind
        self._asked.set()

    async def run(self) -> None:
        """Wait until somebody asks. Raises BeginAgain."""
        await self._asked.wait()
        await trio.sleep(TOLD_S)
        raise BeginAgain(self._left_behind)


def depart(config: Config, why: str) -> None:
    """Set aside what made this node a member."""
    left = leave(config.state, why, now_ms())
    log.warning("node is unclaimed", state_kept_in=left.aside, fix="`noded node rejoin` lets it join again")


def begin_again(config: Config, left_behind: tuple[str, ...]) -> None:
    """Begin a new life of the log on this node's files."""
    identity = NodeIdentity.load_or_create(config.state)
    try:
        begun = recover(config.state, identity.node_id, left_behind, now_ms())
    except (NoLog, JournalDamaged, CheckpointRefused, OSError) as fault:
        log.error("no new life begins; the log is as it was", reason=str(fault))
        return
    log.warning("a new life of the cluster begins here", life=begun.life.count, log_before=str(begun.kept_in))


def await_turn(log_directory: Path) -> None:
    """Return if this node may set its log aside for a newer life; else wait, touching nothing, and start again.

    Whoever has a certificate can announce a newer life, again and again. By the time the wait is over there may be none
    any more, and then the node goes on with the log that it has.
    """
    wait_ms = keepsakes.wait_ms(log_directory)
    if not wait_ms:
        return
    log.error(
        "node waits: others announce a newer life of the cluster, and its log was set aside too often within an hour",
        waits_s=wait_ms // 1000,
        fix="`noded cluster lives` on another node tells which are real; then move a log.aside.N away, and it goes on",
    )
    while keepsakes.wait_ms(log_directory):
        time.sleep(LOOK_S)
    start_again()


def stays_away(state_dir: Path) -> bool:
    """Whether this node left or was forgotten, and waits until it is told to join again."""
    left = read_left(state_dir)
    if left is None:
        return False
    left = finish_leaving(state_dir, left)
    log.warning("node stays away", reason=left.why, fix="`noded node rejoin` lets it join again")
    return True


async def watch_note(state_dir: Path) -> None:
    """Wait until a node that stays away may join again. Raises StartOver."""
    while left_file(state_dir).exists():  # noqa: ASYNC110  # another process takes it away
        await trio.sleep(LOOK_S)
    raise StartOver("it may join again")


async def watch_address(config: Config, present: str) -> None:
    """Wait until this machine has another address than `present`. Raises StartOver.

    Everything that listens is bound to the address that the node had at its start, and starting over is what all of it
    knows how to do. A machine that has no address for a while just waits.
    """
    seen, looks = present, 0
    while True:
        await trio.sleep(LOOK_S)
        try:
            found = own_address(config.address, config.interface)
        except NoAddress:
            continue
        seen, looks = found, looks + 1 if found == seen else 1
        if found != present and looks >= SAME_ADDRESS_LOOKS:
            raise StartOver(f"its address was {present} and is {found} now")
