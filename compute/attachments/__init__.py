"""A server's volumes (Nova API reference, "Servers with volume attachments")."""

from compute.attachments.api import ROUTES
from compute.attachments.commands import AttachVolume, DetachVolume, KeepVolume
from compute.attachments.reconcile import GrowthReconciler
from compute.endpoint import COMPUTE
from noded.core.service import Service

SERVICE = Service(
    name="compute.attachments",
    endpoint=COMPUTE,
    commands=(AttachVolume, DetachVolume, KeepVolume),
    routes=ROUTES,
    reconcilers=(GrowthReconciler,),
)
