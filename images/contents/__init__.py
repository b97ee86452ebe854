"""The data of images (Glance, images v2): received and checked, stored once as volumes, handed out."""

from images.contents.api import ROUTES
from images.contents.commands import (
    AbortUpload,
    AddDisk,
    BeginUpload,
    FinishUpload,
    KeepUpload,
    ResumeUpload,
    StageUpload,
)
from images.contents.departure import departure
from images.contents.examine import examine_uploads
from images.contents.model import Upload
from images.contents.reconcile.imports import ImportsReconciler
from images.contents.reconcile.uploads import UploadsReconciler
from images.endpoint import IMAGE
from noded.core.service import Service

SERVICE = Service(
    name="images.contents",
    endpoint=IMAGE,
    records=(Upload,),
    commands=(AbortUpload, AddDisk, BeginUpload, FinishUpload, KeepUpload, ResumeUpload, StageUpload),
    routes=ROUTES,
    reconcilers=(UploadsReconciler, ImportsReconciler),
    departure=departure,
    examines_machine=(examine_uploads,),
)
