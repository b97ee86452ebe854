"""How a task looks in Glance's API. Its status is derived here."""

from images.catalog.links import STORE
from images.tasks.model import KEPT_MS, Method, Task, TaskKind
from noded.core.times import zulu


def status(task: Task) -> str:
    """Glance's word for where a task is in its life."""
    if task.ended_at_ms is None:
        return "processing"
    return "failure" if task.fault else "success"


def task_summary(task: Task) -> dict[str, object]:
    """A task as lists show it."""
    return {
        "id": task.id,
        "type": task.kind.value,
        "status": status(task),
        "owner": task.project_id,
        "expires_at": None if task.ended_at_ms is None else zulu(task.ended_at_ms + KEPT_MS),
        "created_at": zulu(task.created_at_ms),
        "updated_at": zulu(task.updated_at_ms),
        "self": f"/v2/tasks/{task.id}",
        "schema": "/v2/schemas/task",
    }


def task_view(task: Task) -> dict[str, object]:
    """The whole task."""
    return {
        **task_summary(task),
        "input": _input(task),
        "result": {"image_id": task.image_id} if status(task) == "success" else None,
        "message": task.fault,
        "image_id": task.image_id,
        "request_id": task.request_id,
        "user_id": task.user_id,
    }


def image_task_view(task: Task) -> dict[str, object]:
    """The whole task, as it is listed below its image."""
    return {name: value for name, value in task_view(task).items() if name != "self"}


def _input(task: Task) -> dict[str, object]:
    if task.kind is TaskKind.IMPORT:
        return {
            "import_from": task.url,
            "import_from_format": task.source_format,
            "image_properties": dict(task.properties),
        }
    if task.kind is TaskKind.LOCATION_IMPORT:
        told: dict[str, object] = {"image_id": task.image_id, "loc_url": task.url}
        if task.expected is not None:
            told["validation_data"] = {
                "os_hash_algo": task.expected.algorithm,
                "os_hash_value": task.expected.value,
            }
        return told
    method = {"name": task.method.value} | ({"uri": task.url} if task.method is Method.WEB_DOWNLOAD else {})
    return {"image_id": task.image_id, "import_req": {"method": method}, "backend": [STORE]}
