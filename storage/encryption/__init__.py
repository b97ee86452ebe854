"""Encrypted volumes (Cinder, "Volumes": show volume encryption): their LUKS headers are written, images fill them."""

from noded.core.service import Service
from storage.encryption.api import ROUTES
from storage.encryption.commands import FailFormat, FinishFormat, TakeFormat
from storage.encryption.reconcile import FormatsReconciler
from storage.endpoint import BLOCK_STORAGE

SERVICE = Service(
    name="storage.encryption",
    endpoint=BLOCK_STORAGE,
    commands=(FailFormat, FinishFormat, TakeFormat),
    routes=ROUTES,
    reconcilers=(FormatsReconciler,),
)
