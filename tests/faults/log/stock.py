"""What does pysyncobj lose as it comes? A node that keeps the same registers on it, with its own journal and dumps."""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio
from pysyncobj import SyncObj, SyncObjConf, SyncObjConsumer, replicated

from tests.faults.log.registers import History
from tests.faults.log.wire import (
    Answer,
    Ask,
    Done,
    Get,
    Held,
    Job,
    Lines,
    Look,
    No,
    Promote,
    Set,
    Standing,
    Tell,
    Told,
    Unclear,
    decode_ask,
)

CONFIRM_S_MAX = 3.0
DUMP_ENTRIES = 250  # as often as the product's nodes in these tests take checkpoints


class Registers(SyncObjConsumer):  # type: ignore[misc]
    """All registers' values; its method makes the entries of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}

    @replicated  # type: ignore[untyped-decorator]
    def set(self, register: str, expected: int, value: str) -> int | None:
        """None if it was done, else the version that the register has."""
        held = self.values.setdefault(register, [])
        if len(held) != expected:
            return len(held)
        held.append(value)
        return None

    @replicated  # type: ignore[untyped-decorator]
    def get(self, register: str) -> list[str]:
        """What the register held. Through the log: reading locally, as is usual, would be stale every time."""
        return list(self.values.get(register, []))


class Served:
    """What may be asked of it."""

    def __init__(self, job: Job) -> None:
        where = {node_id: f"{host}:{port}" for node_id, (host, port) in job.peers.items()}
        others = [address for node_id, address in where.items() if node_id != job.node_id]
        self._ids = {address: node_id for node_id, address in where.items()}
        directory = Path(job.state) / "stock"
        directory.mkdir(exist_ok=True)
        settings = SyncObjConf(
            journalFile=str(directory / "journal"),
            fullDumpFile=str(directory / "dump"),
            logCompactionMinEntries=DUMP_ENTRIES,
        )
        self._registers = Registers()
        self._log = SyncObj(where[job.node_id], others, settings, consumers=[self._registers])

    async def answer(self, asked: Ask) -> Answer:
        log = self._log
        match asked:
            case Set():
                return await self._set(asked)
            case Get():
                return await self._get(asked)
            case Tell():
                return Told(self._history(asked.epoch))
            case Look():
                leader = log._getLeader()
                leader_id = None if leader is None else self._ids[str(leader)]
                voters = sorted(self._ids.values())
                return Standing(log.raftCurrentTerm, bool(log._isLeader()), leader_id, voters, log.raftLastApplied)
            case Promote():
                return Done()
        return No("this build can't do that")

    def _history(self, epoch: int) -> History:
        return {name: list(held) for name, held in self._registers.values.items() if name.startswith(f"e{epoch}r")}

    async def _set(self, asked: Set) -> Answer:
        ended = await self._through_log(self._registers.set, asked.register, asked.expected, asked.value)
        if ended is None:
            return Unclear("not confirmed")
        version = ended[0]
        if version is None:
            return Held(asked.expected + 1, asked.value)
        assert isinstance(version, int)
        return No("another version", version)

    async def _get(self, asked: Get) -> Answer:
        ended = await self._through_log(self._registers.get, asked.register)
        if ended is None:
            return Unclear("not confirmed")
        held = ended[0]
        assert isinstance(held, list)
        return Held(len(held), held[-1] if held else "")

    async def _through_log(self, method: Callable[..., None], *arguments: object) -> tuple[object] | None:
        """What the method returned where it was applied; None if that is not known in time."""
        done = trio.Event()
        ends: list[tuple[object]] = []
        token = trio.lowlevel.current_trio_token()

        def settle(result: object, failure: int) -> None:
            if not failure:
                ends.append((result,))
            token.run_sync_soon(done.set)

        method(*arguments, callback=settle)
        with trio.move_on_after(CONFIRM_S_MAX):
            await done.wait()
        return ends[0] if ends else None

    async def serve(self, stream: trio.SocketStream) -> None:
        """One caller's requests, one after the other."""
        lines = Lines(stream)
        try:
            while line := await lines.next():
                await lines.send(await self.answer(decode_ask(line)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.aclose_forcefully(stream)


async def _serve(job: Job) -> None:
    served = Served(job)
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    Path(job.socket).unlink(missing_ok=True)
    await listener.bind(job.socket)
    listener.listen(64)
    await trio.serve_listeners(served.serve, [trio.SocketListener(listener)])


if __name__ == "__main__":
    trio.run(_serve, msgspec.json.decode(sys.argv[1], type=Job))
