"""Who changed what, and when: the lines of history that every node keeps, read and checked. Our own API."""

from consensus.endpoint import NODED
from consensus.history.api import PEER_CALLS, ROUTES
from consensus.history.reconcile import HistoryReconciler
from noded.core.service import Service

SERVICE = Service(
    name="consensus.history",
    endpoint=NODED,
    routes=ROUTES,
    reconcilers=(HistoryReconciler,),
    peer_calls=PEER_CALLS,
)
