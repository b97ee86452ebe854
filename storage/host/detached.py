"""How is a process started that outlives the daemon? Detached, with a log file; its lock tells that it lives."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import trio

from noded.core.errors import Unavailable
from noded.core.unreadable import UNREADABLE
from storage.host.lock import holder

POLL_S = 0.02
LAST_CHARACTERS_MAX = 500


class _LastLine(msgspec.Struct):
    """A line of a storage process's log (`event_log.py`)."""

    event: str = "it said nothing"
    reason: str = ""


async def start_detached(module: str, arguments: list[str], log_file: Path) -> None:
    """Run `python -m module arguments` as a child of init, in a session of its own."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        # `setsid --fork` returns at once: the daemon has no child to wait for, nor to take with it when it ends.
        await trio.run_process(
            ["setsid", "--fork", sys.executable, "-m", module, *arguments], stdin=b"", stdout=log, stderr=log
        )


async def until_held(lock: Path, seconds_max: float) -> None:
    """Wait until a process holds the lock, or until it must have ended before it could."""
    with trio.move_on_after(seconds_max):
        while holder(lock) is None:  # noqa: ASYNC110  # another process has no event to wait for
            await trio.sleep(POLL_S)


async def until_ended(lock: Path, seconds_max: float) -> None:
    """Wait until nobody holds the lock. Raises `Unavailable` if that takes too long."""
    with trio.move_on_after(seconds_max) as patience:
        while holder(lock) is not None:  # noqa: ASYNC110  # another process has no event to wait for
            await trio.sleep(POLL_S)
    if patience.cancelled_caught:
        raise Unavailable(f"The process that holds {lock} did not end within {seconds_max:.0f} s.")


async def until_one_ended(locks: Iterable[Path]) -> None:
    """Return when one of the processes that hold these locks has ended; without any lock, never."""
    async with trio.open_nursery() as nursery:

        async def watch(lock: Path) -> None:
            await _until_released(lock)
            nursery.cancel_scope.cancel()

        for lock in locks:
            nursery.start_soon(watch, lock)
        await trio.sleep_forever()


async def _until_released(lock: Path) -> None:
    pid = holder(lock)
    if pid is None:
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(process)  # a pidfd is readable once its process has ended
    finally:
        os.close(process)


def last_words(log_file: Path) -> str:
    """Why a process ended: what its log says last. A crash says it over several lines, ours in one JSON object."""
    try:
        lines = log_file.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return "it left no log"
    try:
        said = msgspec.json.decode(lines[-1] if lines else "{}", type=_LastLine)
    except UNREADABLE:
        return " ".join(lines[-1:])[-LAST_CHARACTERS_MAX:]
    return f"{said.event}: {said.reason}" if said.reason else said.event
