"""What operators ask of the pool's disks: which there are, what they hold, drained, weighed, taken out. noded's API."""

from consensus.endpoint import NODED
from noded.core.service import Service
from storage.disks.api import ROUTES
from storage.disks.authority import LOCAL_CALLS, PEER_CALLS
from storage.disks.commands import RemoveDisk
from storage.disks.measure import measure_pool
from storage.disks.reconcile import CapacityReconciler

SERVICE = Service(
    name="storage.disks",
    endpoint=NODED,
    commands=(RemoveDisk,),
    reconcilers=(CapacityReconciler,),
    routes=ROUTES,
    peer_calls=PEER_CALLS,
    measures=(measure_pool,),
    local_calls=LOCAL_CALLS,
)
