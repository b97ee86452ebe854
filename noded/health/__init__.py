"""Is this node ready for requests? `/healthz`, for load balancers and for whoever waits for a start."""

from noded.core.service import Service
from noded.health.api import HEALTH, ROUTES

SERVICE = Service(name="noded.health", endpoint=HEALTH, routes=ROUTES)
