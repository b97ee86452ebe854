"""The cloud looked at from inside: nodes and their vitals, the routes, and why a thing is as it is. Our own API."""

from consensus.endpoint import NODED
from noded.core.service import Service
from noded.inspection.api import PEER_CALLS, ROUTES
from noded.inspection.measure import measure_node

SERVICE = Service(
    name="noded.inspection",
    endpoint=NODED,
    routes=ROUTES,
    peer_calls=PEER_CALLS,
    measures=(measure_node,),
)
