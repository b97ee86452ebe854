"""The whole cloud compared with its records, and what does not match: what, why, how to mend it. Our own API."""

from consensus.endpoint import NODED
from noded.core.service import Service
from noded.doctor.api import ROUTES
from noded.doctor.authority import PEER_CALLS
from noded.doctor.reconcile import FirstSeenReconciler

SERVICE = Service(
    name="noded.doctor",
    endpoint=NODED,
    routes=ROUTES,
    peer_calls=PEER_CALLS,
    reconcilers=(FirstSeenReconciler,),
)
