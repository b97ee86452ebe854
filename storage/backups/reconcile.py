"""What does the work on backups: each node takes what is its, opens the volumes, moves the bytes, and says so."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
import trio

from consensus.liveness.links import Watch
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from noded.core.reconciler import Drivers
from storage.backups.links import BackupBytes, DirectoryPlace, Place, PoolPlace, S3Place, Stored
from storage.backups.model import BACKING_UP, RESTORING, Backup, BackupTarget, TargetKind, Work, chain
from storage.backups.plan import Task, tasks
from storage.backups.work import SUPERSEDED, BackupRemoved, FailBackup, FinishBackup, FinishRestore, TakeBackup
from storage.pools.model import Disk
from storage.volumes.links import VolumeFiles
from storage.volumes.model import Cut, Volume

log = structlog.get_logger(__name__)

WORKS_AT_ONCE = 2
TROUBLE_S_MAX = 300.0  # after so long of failing the user is told; what is half done is removed
PAUSE_S = 3.0


class BackupsReconciler:
    """No backup waits for a node that is gone, and none is worked on by two."""

    name = "backups"
    watches = (Backup, Disk, Cut)
    period_s = 5.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._bytes = drivers.get(BackupBytes)
        self._files = drivers.get(VolumeFiles)
        self._watch = drivers.get(Watch)
        self._running: set[str] = set()
        self._news = trio.Event()

    async def reconcile(self) -> None:
        """One pass; it ends when there is nothing left to do here."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_news)
            while True:
                self._news = trio.Event()
                due = [task for task in self._tasks() if task.backup_id not in self._running]
                for task in due[: WORKS_AT_ONCE - len(self._running)]:
                    self._running.add(task.backup_id)
                    nursery.start_soon(self._work, task)
                if not self._running:
                    nursery.cancel_scope.cancel()
                    return
                with trio.move_on_after(PAUSE_S):
                    await self._news.wait()

    async def _tell_news(self) -> None:
        seen = self._cluster.view().revision
        while True:
            seen = await self._cluster.changed([Backup, Cut], seen)
            self._news.set()

    def _tasks(self) -> list[Task]:
        return tasks(self._cluster.view(), self._cluster.node_id, self._watch.usable())

    async def _work(self, task: Task) -> None:
        try:
            turn = task.turn if task.taken else await self._take(task)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cancel_when_over, task.backup_id, turn, nursery.cancel_scope)
                await self._do(task.backup_id, turn)
                nursery.cancel_scope.cancel()
        except* Refused as group:
            for fault in _faults(group):
                log.warning("work on a backup not ended", backup=task.backup_id, why=fault.message)
                await trio.sleep(PAUSE_S)
        finally:
            self._running.discard(task.backup_id)
            self._news.set()

    async def _take(self, task: Task) -> int:
        node_id = self._cluster.node_id
        await self._cluster.propose(TakeBackup(backup_id=task.backup_id, node_id=node_id, turn=task.turn))
        return task.turn + 1

    async def _cancel_when_over(self, backup_id: str, turn: int, scope: trio.CancelScope) -> None:
        """Deleted, reset, or another node's: what was begun here is cut off."""
        while True:
            view = self._cluster.view()
            backup = view.get(Backup, backup_id)
            if backup is None or backup.turn != turn or backup.work is None:
                scope.cancel()
            await self._cluster.changed([Backup], view.revision)

    async def _do(self, backup_id: str, turn: int) -> None:
        """Work until it is done or can't be. A fault that may pass is waited out, for a while."""
        began = trio.current_time()
        while True:
            backup = self._cluster.view().need(Backup, backup_id)
            try:
                await self._once(backup)
            except (Invalid, NotFound) as fault:
                await self._fail(backup, turn, fault)
            except Unavailable as fault:
                log.warning("work on a backup interrupted", backup=backup_id, why=fault.message)
                if trio.current_time() - began > TROUBLE_S_MAX:
                    await self._fail(backup, turn, fault)
                    return
                await trio.sleep(PAUSE_S)
                continue
            return

    async def _fail(self, backup: Backup, turn: int, fault: Refused) -> None:
        log.warning("work on a backup given up", backup=backup.id, work=backup.work, why=fault.message)
        await self._cluster.propose(FailBackup(backup_id=backup.id, turn=turn, reason=fault.message, now_ms=now_ms()))

    async def _once(self, backup: Backup) -> None:
        if backup.work is Work.COPY:
            await self._copy(backup)
        elif backup.work is Work.RESTORE:
            await self._restore(backup)
        elif backup.work is Work.CHECK:
            await self._check(backup)
        elif backup.work is Work.REMOVE:
            await self._bytes.remove(Stored(place=self._place(backup), location=backup.location))
            await self._cluster.propose(BackupRemoved(backup_id=backup.id, turn=backup.turn))

    async def _copy(self, backup: Backup) -> None:
        source = self._held(backup.source_id, BACKING_UP)
        async with AsyncExitStack() as stack:
            file = await stack.enter_async_context(self._files.open(source.volume_id, writable=not source.immutable))
            places = await stack.enter_async_context(self._chain(backup, writable=True))
            copied = await self._bytes.copy(file.path, backup.size_bytes, backup.volume_id, places)
        await self._cluster.propose(
            FinishBackup(
                backup_id=backup.id,
                turn=backup.turn,
                object_count=copied.object_count,
                stored_bytes=copied.stored_bytes,
                now_ms=now_ms(),
            )
        )
        log.info("backup finished", backup=backup.id, objects=copied.object_count, bytes=copied.stored_bytes)

    async def _restore(self, backup: Backup) -> None:
        volume = self._held(backup.restore_id, RESTORING)
        async with AsyncExitStack() as stack:
            file = await stack.enter_async_context(self._files.open(volume.volume_id, writable=True))
            places = await stack.enter_async_context(self._chain(backup, writable=False))
            await self._bytes.restore(places, backup.size_bytes, file.path, blank=backup.restore_blank)
        await self._cluster.propose(FinishRestore(backup_id=backup.id, turn=backup.turn, now_ms=now_ms()))
        log.info("backup restored", backup=backup.id, volume=volume.id)

    async def _check(self, backup: Backup) -> None:
        async with self._chain(backup, writable=False) as places:
            found = await self._bytes.check(places[0])
        await self._cluster.propose(
            FinishBackup(
                backup_id=backup.id,
                turn=backup.turn,
                object_count=found.object_count,
                stored_bytes=found.stored_bytes,
                now_ms=now_ms(),
            )
        )

    def _held(self, volume_id: str | None, phase: str) -> Volume:
        """The volume that the work holds. Raises `Invalid` if it was taken away meanwhile."""
        volume = self._cluster.view().get(Volume, volume_id) if volume_id is not None else None
        if volume is None or volume.deleting:
            raise Invalid("The volume was deleted meanwhile, or no snapshot of it could be made.")
        if not volume.immutable and volume.phase != phase:
            raise Invalid(f"The volume was set to another state meanwhile; it had to stay {phase}.")
        return volume

    @asynccontextmanager
    async def _chain(self, backup: Backup, *, writable: bool) -> AsyncIterator[Sequence[Stored]]:
        """Where the backup is, and those on which it builds; hidden volumes are open meanwhile."""
        async with AsyncExitStack() as stack:
            found = []
            for number, each in enumerate(chain(self._cluster.view(), backup)):
                path = None
                if each.file_id is not None:
                    opening = self._files.open(each.file_id, writable=writable and not number)
                    path = (await stack.enter_async_context(opening)).path
                found.append(Stored(place=self._place(each, path), location=each.location, key=self._key(each)))
            yield found

    def _key(self, backup: Backup) -> bytes | None:
        target = self._cluster.view().get(BackupTarget, backup.target_id)
        return bytes.fromhex(target.seal_key) if target is not None and target.seal_key else None

    def _place(self, backup: Backup, path: Path | None = None) -> Place:
        if path is not None:
            return PoolPlace(path=path)
        target = self._cluster.view().get(BackupTarget, backup.target_id)
        if target is None:
            raise Invalid(f"Backup {backup.id} was in target {backup.target_id}, which is there no more.")
        return place_of(target, backup.container)


def place_of(target: BackupTarget, container: str) -> Place:
    """A target that is not the pool, as the machine knows it."""
    if target.kind is TargetKind.DIRECTORY:
        return DirectoryPlace(path=Path(target.path), target_id=target.id, container=container)
    return S3Place(
        url=target.url,
        bucket=target.bucket,
        region=target.region,
        access_key=target.access_key,
        secret_key=target.secret_key,
        container=container,
    )


def _faults(group: BaseExceptionGroup[Refused]) -> list[Refused]:
    found: list[Refused] = []
    for each in group.exceptions:
        found += _faults(each) if isinstance(each, BaseExceptionGroup) else [each]
    return [each for each in found if not (isinstance(each, Conflict) and each.code == SUPERSEDED)]
