"""How tasks begin, change hands, end, and are forgotten."""

from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from images.catalog.commands import begin_import, discard_image, end_import
from images.catalog.links import status
from images.catalog.model import Image
from images.tasks.model import KEPT_MS, Digest, Method, Task, TaskKind
from noded.core.command import Command
from noded.core.errors import Conflict, TooLarge
from noded.core.ids import ImageId, NodeId, ProjectId
from noded.core.store import Transaction

SUPERSEDED: Final = "TaskTurnSuperseded"  # the code of the refusal: it has ended, or another node works on it
TASKS_OF_A_PROJECT_MAX: Final = 1000  # older ones that have ended make room


class StartTask(Command, frozen=True, kw_only=True, tag="image.task.start.1"):
    """Something shall be done for an image."""

    TOLD: ClassVar[str] = "began the import of the image {image_id} by {method}"

    task_id: str
    kind: TaskKind
    method: Method
    image_id: ImageId
    project_id: ProjectId
    user_id: str
    request_id: str
    url: str = ""
    expected: Digest | None = None
    properties: dict[str, str] = msgspec.field(default_factory=dict)
    source_format: str = ""
    node_id: NodeId
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        expect_ready(tx.need(Image, self.image_id), self.method)
        begin_import(tx, self.image_id, self.task_id)
        _make_room(tx, self.project_id)
        tx.put(
            Task(
                id=self.task_id,
                kind=self.kind,
                method=self.method,
                image_id=self.image_id,
                project_id=self.project_id,
                user_id=self.user_id,
                request_id=self.request_id,
                url=self.url,
                expected=self.expected,
                properties=self.properties,
                source_format=self.source_format,
                node_id=self.node_id,
                created_at_ms=self.now_ms,
                updated_at_ms=self.now_ms,
            )
        )


class TakeTask(Command, frozen=True, kw_only=True, tag="image.task.take.1"):
    """A node goes on with a task of a node that can't be reached any more."""

    TOLD: ClassVar[str] = "gave the image task {task_id} to node {node_id}"

    task_id: str
    turn: int  # as it was when the node looked
    node_id: NodeId
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        task = _current(tx, self.task_id, self.turn)
        tx.put(replace(task, node_id=self.node_id, turn=task.turn + 1, updated_at_ms=self.now_ms))


class EndTask(Command, frozen=True, kw_only=True, tag="image.task.end.1"):
    """It is done, or can't be: then `fault` says why, and the image is as empty as before."""

    TOLD: ClassVar[str] = "ended the image task {task_id}"

    task_id: str
    turn: int
    fault: str = ""
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        task = _current(tx, self.task_id, self.turn)
        end_import(tx, task.image_id, task.id, failed=bool(self.fault))
        if self.fault and task.kind is TaskKind.IMPORT and tx.get(Image, task.image_id) is not None:
            discard_image(tx, task.image_id)
        ended = replace(task, ended_at_ms=self.now_ms, updated_at_ms=self.now_ms, fault=self.fault)
        tx.put(ended)


class ForgetTasks(Command, frozen=True, kw_only=True, tag="image.task.forget.1"):
    """Nobody needs to look at them any more."""

    TOLD: ClassVar[str] = "forgot image tasks that ended long ago"

    FREES_ROOM: ClassVar[bool] = True

    task_ids: tuple[str, ...]
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        for task_id in self.task_ids:
            task = tx.get(Task, task_id)
            if task is not None and task.ended_at_ms is not None and task.ended_at_ms + KEPT_MS <= self.now_ms:
                tx.delete(Task, task_id)


def expect_ready(image: Image, method: Method) -> None:
    """Raise `Conflict` unless the image can be imported that way now."""
    state = status(image)
    if method is Method.GLANCE_DIRECT and state != "uploading":
        raise Conflict(f"Image {image.id} needs to be staged before the method 'glance-direct' can be used.")
    if method is Method.WEB_DOWNLOAD and state != "queued":
        raise Conflict(f"Image {image.id} needs to be in 'queued' state to use 'web-download'; it is {state}.")
    if method is Method.COPY_IMAGE and state != "active":
        raise Conflict(f"Only an image with status active can be copied; image {image.id} is {state}.")


def _make_room(tx: Transaction, project_id: ProjectId) -> None:
    tasks = tx.find(Task, "project_id", project_id)
    if len(tasks) < TASKS_OF_A_PROJECT_MAX:
        return
    ended = [task for task in tasks if task.ended_at_ms is not None]
    if not ended:
        raise TooLarge(f"The project has {len(tasks)} image tasks under way, which is the limit. Wait for some to end.")
    tx.delete(Task, min(ended, key=lambda task: (task.ended_at_ms, task.id)).id)


def _current(tx: Transaction, task_id: str, turn: int) -> Task:
    task = tx.need(Task, task_id)
    if task.turn != turn or task.ended_at_ms is not None:
        raise Conflict(f"Task {task_id} has ended, or another node works on it.", code=SUPERSEDED)
    return task
