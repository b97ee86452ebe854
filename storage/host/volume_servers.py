"""How do volumes come to be served on this machine? Implements what `storage/volumes/links.py` asks for.

A volume in use here has a volume server (`volume_server.py`), a process that outlives the daemon and is found again by
its lock. It serves the volume to QEMU as an NBD socket, and, while it is exported, to any tool as a file.

    attach ──┐                                    ┌─ ends when the records say so (`volumes/reconcile.py`)
    open   ──┼─► start if nobody holds the lock ──┤
   serving ──┘   wait until it is open            └─ ends when the last that opened it has closed it
"""

import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from noded.core.errors import Refused, Unavailable
from noded.core.ids import NodeId, VolumeId
from storage.extents.authority import Mark
from storage.host.detached import last_words, start_detached, until_ended, until_held, until_one_ended
from storage.host.lock import holder, send_signal
from storage.host.mounts import unmount
from storage.host.paths import control_socket, file_directory, nbd_socket, volume_directory, volume_file, volume_lock
from storage.host.volume_control import VolumeStatus, ask
from storage.volumes.links import OpenVolume, ScrubState, ServedVolume

START_S_MAX = 10.0
OPEN_S_MAX = 60.0
END_S_MAX = 30.0
POLL_S = 0.05
FREEZE_S_MAX = 6.0
FREEZE_POLL_S = 0.002
OPEN_PHASES = ("open", "frozen")


class HostVolumes:
    """Implements `VolumeAttachments`, `VolumeFiles` and `VolumeServers`."""

    def __init__(self, *, node_id: NodeId, tls: Path, run: Path, logs: Path) -> None:
        self._node_id = node_id
        self._tls = tls
        self._run = run
        self._logs = logs
        self._holds: Counter[VolumeId] = Counter()
        self._attached: set[VolumeId] = set()
        self._turns: dict[VolumeId, trio.Lock] = {}

    async def attach(self, volume_id: VolumeId) -> str:
        """See `VolumeAttachments.attach`."""
        await self.ensure(volume_id)
        return str(nbd_socket(self._run, volume_id))

    async def detach(self, volume_id: VolumeId) -> None:
        """See `VolumeAttachments.detach`."""
        await self.end(volume_id)

    @asynccontextmanager
    async def open(self, volume_id: VolumeId, *, writable: bool) -> AsyncIterator[OpenVolume]:
        """See `VolumeFiles.open`."""
        async with self._holding(volume_id):
            await self._serve(volume_id, read_only=not writable)
            await ask(control_socket(self._run, volume_id), "export")
            yield OpenVolume(path=volume_file(self._run, volume_id), socket=nbd_socket(self._run, volume_id))

    async def running(self) -> Collection[VolumeId]:
        """See `VolumeServers.running`."""
        names = [path.name for path in volume_directory(self._run, VolumeId("")).glob("*")]
        return [volume_id for volume_id in map(VolumeId, names) if self._runs(volume_id)]

    async def remains(self) -> Collection[VolumeId]:
        """See `VolumeServers.remains`."""
        names = [path.name for path in volume_directory(self._run, VolumeId("")).glob("*")]
        return [volume_id for volume_id in map(VolumeId, names) if not self._runs(volume_id)]

    async def tidy(self, volume_id: VolumeId) -> None:
        """See `VolumeServers.tidy`. Servers are started in the same turns, so none can begin in what goes."""
        async with self._turn(volume_id):
            if not self._runs(volume_id) and not self._holds[volume_id]:
                await trio.to_thread.run_sync(_take_away, volume_directory(self._run, volume_id))

    def held(self) -> Collection[VolumeId]:
        """See `VolumeServers.held`."""
        return set(self._holds)

    async def ensure(self, volume_id: VolumeId) -> None:
        """See `VolumeServers.ensure`."""
        self._attached.add(volume_id)
        await self._serve(volume_id)

    async def ended(self, volume_ids: Collection[VolumeId]) -> None:
        """See `VolumeServers.ended`."""
        await until_one_ended([volume_lock(self._run, volume_id) for volume_id in volume_ids])

    async def end(self, volume_id: VolumeId) -> None:
        """See `VolumeServers.end`."""
        self._attached.discard(volume_id)
        async with self._turn(volume_id):
            if not self._holds[volume_id]:
                await self._stop(volume_id)

    async def freeze(self, volume_id: VolumeId) -> Mark:
        """See `VolumeServers.freeze`."""
        pause = FREEZE_POLL_S
        with trio.move_on_after(FREEZE_S_MAX):
            while True:
                status = await ask(control_socket(self._run, volume_id), "freeze")
                if status.frozen:
                    return Mark(volume_id=volume_id, epoch=status.epoch, changes=status.changes)
                await trio.sleep(pause)
                pause = min(2 * pause, POLL_S)
        await self.thaw(volume_id)
        raise Unavailable(f"Volume {volume_id} does not stand still within {FREEZE_S_MAX:.0f} s.")

    async def thaw(self, volume_id: VolumeId) -> None:
        """See `VolumeServers.thaw`."""
        if self._runs(volume_id):
            await ask(control_socket(self._run, volume_id), "thaw")

    async def report(self, volume_id: VolumeId) -> ServedVolume | None:
        """See `VolumeServers.report`."""
        return (await self._status(volume_id)).served if self._runs(volume_id) else None

    async def look(self, volume_id: VolumeId) -> None:
        """See `VolumeServers.look`."""
        if self._runs(volume_id):
            await ask(control_socket(self._run, volume_id), "look")

    async def scrub(self, volume_id: VolumeId, begun_ms: int, extent: int) -> ScrubState:
        """See `VolumeServers.scrub`."""
        words = {"begun_ms": str(begun_ms), "extent": str(extent)}
        return (await ask(control_socket(self._run, volume_id), "scrub", **words)).scrub

    @asynccontextmanager
    async def serving(self, volume_id: VolumeId) -> AsyncIterator[None]:
        """See `VolumeServers.serving`."""
        async with self._holding(volume_id):
            await self._serve(volume_id)
            yield

    @asynccontextmanager
    async def _holding(self, volume_id: VolumeId) -> AsyncIterator[None]:
        """Keep the volume's server while the context lasts; the last to leave ends it, unless a guest uses it."""
        self._holds[volume_id] += 1
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                async with self._turn(volume_id):
                    self._holds[volume_id] -= 1
                    if not self._holds[volume_id]:
                        del self._holds[volume_id]
                        if volume_id not in self._attached:
                            await self._stop(volume_id)

    async def _serve(self, volume_id: VolumeId, *, read_only: bool = False) -> None:
        """Have an open server for the volume."""
        async with self._turn(volume_id):
            if not self._runs(volume_id):
                arguments = ["--volume", volume_id, "--node", self._node_id]
                arguments += ["--run", str(self._run), "--tls", str(self._tls)]
                arguments += ["--read-only"] if read_only else []
                await start_detached("storage.host.volume_server", arguments, self._log_file(volume_id))
                # Before that another turn would not see it, and start a second one.
                await until_held(volume_lock(self._run, volume_id), START_S_MAX)
        await self._until_open(volume_id)

    async def _until_open(self, volume_id: VolumeId) -> None:
        with trio.move_on_after(OPEN_S_MAX):
            while not await self._is_open(volume_id):
                if not self._runs(volume_id):
                    break  # it ended by itself, and has said why
                await trio.sleep(POLL_S)
            else:
                return
        raise Unavailable(f"Volume {volume_id} can't be opened: {last_words(self._log_file(volume_id))}.")

    async def _stop(self, volume_id: VolumeId) -> None:
        lock = volume_lock(self._run, volume_id)
        send_signal(lock, signal.SIGTERM)
        await until_ended(lock, END_S_MAX)

    async def _is_open(self, volume_id: VolumeId) -> bool:
        try:
            return (await self._status(volume_id)).phase in OPEN_PHASES
        except Refused:
            return False

    async def _status(self, volume_id: VolumeId) -> VolumeStatus:
        return await ask(control_socket(self._run, volume_id), "status")

    def _runs(self, volume_id: VolumeId) -> bool:
        return holder(volume_lock(self._run, volume_id)) is not None

    def _turn(self, volume_id: VolumeId) -> trio.Lock:
        """Starting and ending one volume's server happen one after the other."""
        return self._turns.setdefault(volume_id, trio.Lock())

    def _log_file(self, volume_id: VolumeId) -> Path:
        return self._logs / f"volume-{volume_id}.log"


def _take_away(directory: Path) -> None:
    """Sockets, lock and mount point of a server that has ended; the mount of a killed one first."""
    unmount(file_directory(directory.parent.parent, VolumeId(directory.name)))
    shutil.rmtree(directory, ignore_errors=True)  # what can't be taken away now is, at the next look
