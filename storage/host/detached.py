"""How is a process started that outlives the daemon? Detached, with a log file; its lock tells that it lives."""

import sys
from pathlib import Path

import trio

from noded.core.errors import Unavailable
from storage.host.lock import holder

POLL_S = 0.02


async def start_detached(module: str, arguments: list[str], log_file: Path) -> None:
    """Run `python -m module arguments` as a child of init, in a session of its own."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        # `setsid --fork` returns at once: the daemon has no child to wait for, nor to take with it when it ends.
        await trio.run_process(
            ["setsid", "--fork", sys.executable, "-m", module, *arguments], stdin=b"", stdout=log, stderr=log
        )


async def until_ended(lock: Path, seconds_max: float) -> None:
    """Wait until nobody holds the lock. Raises `Unavailable` if that takes too long."""
    with trio.move_on_after(seconds_max) as patience:
        while holder(lock) is not None:  # noqa: ASYNC110  # another process has no event to wait for
            await trio.sleep(POLL_S)
    if patience.cancelled_caught:
        raise Unavailable(f"The process that holds {lock} did not end within {seconds_max:.0f} s.")


def last_words(log_file: Path, characters_max: int = 500) -> str:
    """The end of a process's log: why it ended."""
    try:
        return log_file.read_text(errors="replace")[-characters_max:].strip()
    except FileNotFoundError:
        return ""
