"""Limits (Nova API reference, "Limits"): what a project may use and does use."""

from compute.endpoint import COMPUTE
from compute.limits.api import ROUTES
from noded.core.service import Service

SERVICE = Service(name="compute.limits", endpoint=COMPUTE, routes=ROUTES)
