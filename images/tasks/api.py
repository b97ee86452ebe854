"""What the routes of tasks do: an administrator starts and lists them, an owner sees those of an image (Glance v2)."""

from typing import Final
from urllib.parse import urlencode

import msgspec

from images.catalog.commands import CreateImage, visible
from images.catalog.links import form_for
from images.catalog.model import Image
from images.import_rules.model import Guard
from images.tasks.commands import StartTask
from images.tasks.model import Method, Task, TaskKind
from images.tasks.views import image_task_view, status, task_summary, task_view
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Forbidden, Invalid, NotFound
from noded.core.ids import ImageId
from noded.core.route import Allow, Done, Request, Response, Route

LIMIT_DEFAULT: Final = 25
LIMIT_MAX: Final = 1000
STATUSES: Final = ("pending", "processing", "success", "failure")
SORT_KEYS: Final = ("id", "type", "status", "created_at", "updated_at", "expires_at")


class ImportInput(msgspec.Struct, frozen=True):
    """What an image is made of."""

    import_from: str
    image_properties: dict[str, object]
    import_from_format: str = ""


class NewTask(msgspec.Struct, frozen=True):
    """The body of a new task."""

    type: str
    input: ImportInput


async def create_task(request: Request) -> Response:
    """Make an image of what is at a URL. The task ends when the image is active."""
    body = await request.json(NewTask)
    if body.type != TaskKind.IMPORT:
        raise Invalid(f"A task of type {body.type[:64]} can't be made; its type must be import.")
    Guard.of(request.cluster.view()).expect_url(body.input.import_from)
    keys = {"disk_format": body.input.import_from_format, **body.input.image_properties}
    form = form_for(request.caller, keys)
    task_id, image_id, now = dice.new_uuid(), ImageId(dice.new_uuid()), now_ms()
    start = StartTask(
        task_id=task_id,
        kind=TaskKind.IMPORT,
        method=Method.WEB_DOWNLOAD,
        image_id=image_id,
        project_id=request.caller.project,
        user_id=request.caller.user_id,
        request_id=request.request_id,
        url=body.input.import_from,
        properties={name: str(value) for name, value in body.input.image_properties.items()},
        source_format=body.input.import_from_format,
        node_id=request.cluster.node_id,
        now_ms=now,
    )
    await request.cluster.propose(CreateImage(image_id=image_id, form=form, now_ms=now), start)
    task = request.cluster.view().need(Task, task_id)
    return Response(body=task_view(task), headers={"Location": f"{request.base_url}/image/v2/tasks/{task_id}"})


async def list_tasks(request: Request) -> Response:
    """One page of all tasks, newest first where nothing else is asked."""
    query = request.query
    wanted = query.get("status")
    if wanted is not None and wanted not in STATUSES:
        raise Invalid(f"Invalid status: {wanted[:64]}; it is one of {', '.join(STATUSES)}.")
    tasks = [task for task in request.cluster.view().all(Task) if wanted in (None, status(task))]
    tasks = [task for task in tasks if query.get("type") in (None, task.kind.value)]
    tasks = [task for task in tasks if query.get("owner") in (None, task.project_id)]
    tasks = _sorted(tasks, query.get("sort_key", "created_at"), query.get("sort_dir", "desc"))
    start, limit = _after(tasks, query.get("marker")), _limit(query.get("limit"))
    page = tasks[start : start + limit]
    kept = [(name, value) for name, value in query.items() if name != "marker"]
    body: dict[str, object] = {
        "tasks": [task_summary(task) for task in page],
        "first": "/v2/tasks" + (f"?{urlencode(kept)}" if kept else ""),
        "schema": "/v2/schemas/tasks",
    }
    if 0 < limit < len(tasks) - start:
        body["next"] = f"/v2/tasks?{urlencode([*kept, ('marker', page[-1].id)])}"
    return Response(body=body)


async def show_task(request: Request) -> Response:
    """One task in full."""
    return Response(body=task_view(_task(request)))


async def list_image_tasks(request: Request) -> Response:
    """What was done, and is being done, for one image; oldest first."""
    view, image_id = request.cluster.view(), request.params["image_id"]
    image = visible(view, request.caller, view.get(Image, image_id), image_id)
    if image.project_id != request.caller.project_id and not request.caller.is_admin:
        raise Forbidden(f"You are not the owner of image {image.id}.")
    tasks = sorted(view.find(Task, "image_id", image.id), key=lambda task: (task.created_at_ms, task.id))
    return Response(body={"tasks": [image_task_view(task) for task in tasks]})


def _task(request: Request) -> Task:
    task_id = request.params["task_id"]
    task = request.cluster.view().get(Task, task_id)
    if task is None:
        raise NotFound.of("task", task_id)
    return task


def _sorted(tasks: list[Task], key: str, direction: str) -> list[Task]:
    if key not in SORT_KEYS:
        raise Invalid(f"Invalid sort key: {key[:64]}. It must be one of {', '.join(SORT_KEYS)}.")
    if direction not in ("asc", "desc"):
        raise Invalid(f"Invalid sort direction: {direction[:64]}. It must be asc or desc.")
    return sorted(tasks, key=lambda task: (str(task_summary(task)[key]), task.id), reverse=direction == "desc")


def _after(tasks: list[Task], marker: str | None) -> int:
    if marker is None:
        return 0
    for position, task in enumerate(tasks):
        if task.id == marker:
            return position + 1
    raise Invalid(f"Marker {marker[:255]} could not be found.")


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if not text.isascii() or not text.isdecimal() or len(text) > 19:
        raise Invalid(f"limit must be a whole number of zero or more, not {text[:64]}.")
    return min(int(text), LIMIT_MAX)


ROUTES = (
    Route(verb="POST", path="/v2/tasks", handler=create_task, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path="/v2/tasks", handler=list_tasks, allow=Allow.ADMIN),
    Route(verb="GET", path="/v2/tasks/{task_id}", handler=show_task, allow=Allow.ADMIN),
    Route(verb="GET", path="/v2/images/{image_id}/tasks", handler=list_image_tasks, allow=Allow.READER),
)
