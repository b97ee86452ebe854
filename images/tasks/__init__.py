"""Tasks (Glance v2, "Tasks"): what is done for an image after its request was answered, and how it ended."""

from images.endpoint import IMAGE
from images.tasks.api import ROUTES
from images.tasks.commands import EndTask, ForgetTasks, StartTask, TakeTask
from images.tasks.model import Task
from noded.core.service import Service

SERVICE = Service(
    name="images.tasks",
    endpoint=IMAGE,
    records=(Task,),
    commands=(EndTask, ForgetTasks, StartTask, TakeTask),
    routes=ROUTES,
)
