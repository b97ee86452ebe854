"""Metrics of this node, its disks and the volumes that it serves, as Prometheus reads them: `/metrics`."""

from noded.core.service import Service
from noded.metrics.api import METRICS, ROUTES
from noded.metrics.authority import LOCAL_CALLS, PEER_CALLS
from noded.metrics.commands import DropScrapeKey, SetScrapeKey
from noded.metrics.model import ScrapeKey

SERVICE = Service(
    name="noded.metrics",
    endpoint=METRICS,
    records=(ScrapeKey,),
    commands=(DropScrapeKey, SetScrapeKey),
    routes=ROUTES,
    peer_calls=PEER_CALLS,
    local_calls=LOCAL_CALLS,
)
