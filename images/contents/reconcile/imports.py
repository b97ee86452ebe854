"""What works on imports: each node does what was asked of it, and what a node that is gone has left.

A task has one node. While that node lives, its daemon works on it, begins anew after a restart, and says how it ended.
When it was not heard from for a minute the leader takes what it has left, and begins anew.
"""

import structlog
import trio

from images.catalog.model import IMAGE_BYTES_MAX, Image
from images.contents.commands import FinishUpload
from images.contents.links import Received, WebSource
from images.contents.reconcile.receiving import Attempt, receive_whole
from images.formats.inspection import Verdict
from images.import_rules.model import Guard
from images.tasks.commands import SUPERSEDED, EndTask, ForgetTasks, TakeTask
from images.tasks.model import KEPT_MS, Task
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Conflict, Invalid, NotFound, Refused, TooLarge, Unavailable
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers

log = structlog.get_logger(__name__)

IMPORTS_AT_ONCE = 2
TRIES_MAX = 3  # a server that breaks off may be back
PAUSE_S = 3.0
SILENCE_S_MAX = 60.0  # a node that was not heard from for so long has lost its imports
FORGET_AT_ONCE_MAX = 500


class ImportsReconciler:
    """No import waits for a node that is gone, and none is worked on by two."""

    name = "image imports"
    watches = (Task,)
    period_s = 20.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._drivers = drivers
        self._running: set[str] = set()
        self._silent_since: dict[NodeId, float] = {}
        self._news = trio.Event()

    async def reconcile(self) -> None:
        """One pass; it ends when there is nothing left to do here."""
        await self._forget()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_news)
            while True:
                self._news = trio.Event()
                await self._take_over([task for task in self._cluster.view().all(Task) if task.ended_at_ms is None])
                mine = [task for task in self._cluster.view().all(Task) if self._is_due(task)]
                mine.sort(key=lambda task: (task.created_at_ms, task.id))
                for task in mine[: IMPORTS_AT_ONCE - len(self._running)]:
                    self._running.add(task.id)
                    nursery.start_soon(self._work, task)
                if not self._running:
                    nursery.cancel_scope.cancel()
                    return
                with trio.move_on_after(PAUSE_S):
                    await self._news.wait()

    async def _tell_news(self) -> None:
        seen = self._cluster.view().revision
        while True:
            seen = await self._cluster.changed([Task], seen)
            self._news.set()

    def _is_due(self, task: Task) -> bool:
        return task.ended_at_ms is None and task.node_id == self._cluster.node_id and task.id not in self._running

    async def _forget(self) -> None:
        if self._cluster.leader_id != self._cluster.node_id:
            return
        now = now_ms()
        old = [
            task.id
            for task in self._cluster.view().all(Task)
            if task.ended_at_ms is not None and task.ended_at_ms + KEPT_MS <= now
        ]
        if old:
            await self._cluster.propose(ForgetTasks(task_ids=tuple(old[:FORGET_AT_ONCE_MAX]), now_ms=now))

    async def _take_over(self, tasks: list[Task]) -> None:
        if self._cluster.leader_id != self._cluster.node_id:
            self._silent_since.clear()
            return
        now = trio.current_time()
        silent = {task.node_id for task in tasks} - self._cluster.reachable()
        self._silent_since = {node: self._silent_since.get(node, now) for node in silent}
        for task in tasks:
            if now - self._silent_since.get(task.node_id, now) >= SILENCE_S_MAX:
                order = TakeTask(task_id=task.id, turn=task.turn, node_id=self._cluster.node_id, now_ms=now_ms())
                await self._cluster.propose(order)

    async def _work(self, task: Task) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cancel_when_over, task, nursery.cancel_scope)
                await self._do(task)
                nursery.cancel_scope.cancel()
        except* Refused as group:
            for fault in _faults(group):
                log.warning("image import not ended", task=task.id, why=fault.message)
                await trio.sleep(PAUSE_S)
        finally:
            self._running.discard(task.id)
            self._news.set()

    async def _cancel_when_over(self, task: Task, scope: trio.CancelScope) -> None:
        """Another node's, or the image deleted: what was begun here is cut off."""
        while True:
            view = self._cluster.view()
            now = view.get(Task, task.id)
            if now is None or now.ended_at_ms is not None or now.turn != task.turn:
                scope.cancel()
                return
            if view.get(Image, task.image_id) is None:
                await self._fail(task, "The image was deleted meanwhile.")
                scope.cancel()
                return
            await self._cluster.changed([Task, Image], view.revision)

    async def _do(self, task: Task) -> None:
        """Work until it is done or can't be. What may pass is tried again, a few times."""
        for tries_left in reversed(range(TRIES_MAX)):
            try:
                await self._fetch(task)
            except (Invalid, NotFound, TooLarge) as fault:
                await self._fail(task, fault.message)
            except (Unavailable, Conflict) as fault:
                log.warning("image import interrupted", task=task.id, why=fault.message)
                if not tries_left:
                    await self._fail(task, fault.message)
                    return
                await trio.sleep(PAUSE_S)
                continue
            return

    async def _fail(self, task: Task, reason: str) -> None:
        log.warning("image import given up", task=task.id, image=task.image_id, why=reason)
        await self._cluster.propose(EndTask(task_id=task.id, turn=task.turn, fault=reason, now_ms=now_ms()))

    async def _fetch(self, task: Task) -> None:
        view = self._cluster.view()
        image, guard = view.need(Image, task.image_id), Guard.of(view)
        algorithm = "" if task.expected is None else task.expected.algorithm

        async def finish(upload_id: str, received: Received, verdict: Verdict) -> None:
            if task.expected is not None and received.digest != task.expected.value:
                raise Invalid(f"The data's {algorithm} is {received.digest}, not {task.expected.value}.")
            now = now_ms()
            await self._cluster.propose(
                FinishUpload(
                    upload_id=upload_id,
                    size_bytes=received.size_bytes,
                    virtual_bytes=verdict.virtual_bytes,
                    md5=received.md5,
                    sha512=received.sha512,
                    algorithm=algorithm,
                    digest=received.digest,
                    now_ms=now,
                ),
                EndTask(task_id=task.id, turn=task.turn, now_ms=now),
            )

        async with self._drivers.get(WebSource).open(task.url, guard) as download:
            if download.size_bytes is not None and download.size_bytes > IMAGE_BYTES_MAX:
                raise TooLarge(f"An image may have at most {IMAGE_BYTES_MAX} bytes; there are {download.size_bytes}.")
            attempt = Attempt(self._cluster, self._drivers.get)
            await receive_whole(
                attempt,
                image,
                download.pieces,
                download.size_bytes,
                finish,
                task_id=task.id,
                algorithm=algorithm,
            )
        log.info("image imported", task=task.id, image=task.image_id)


def _faults(group: BaseExceptionGroup[Refused]) -> list[Refused]:
    found: list[Refused] = []
    for each in group.exceptions:
        found += _faults(each) if isinstance(each, BaseExceptionGroup) else [each]
    return [each for each in found if not (isinstance(each, Conflict) and each.code == SUPERSEDED)]
