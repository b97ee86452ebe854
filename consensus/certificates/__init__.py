"""The cluster's authority and what it signs: renewed early, rotated as one command. Below `/noded/v1`."""

from consensus.certificates.api import LOCAL_CALLS, ROUTES
from consensus.certificates.commands import BeginRotation, NoteRotation
from consensus.certificates.model import Rotation
from consensus.certificates.reconcile import CertificatesReconciler
from consensus.endpoint import NODED
from noded.core.service import Service

SERVICE = Service(
    name="consensus.certificates",
    endpoint=NODED,
    records=(Rotation,),
    commands=(BeginRotation, NoteRotation),
    routes=ROUTES,
    local_calls=LOCAL_CALLS,
    reconcilers=(CertificatesReconciler,),
)
