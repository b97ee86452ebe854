"""What is read through a server: addresses, groups, network cards, history (Nova's sub-resources)."""

from compute.endpoint import COMPUTE
from compute.server_parts.api import ROUTES
from noded.core.service import Service

SERVICE = Service(name="compute.server_parts", endpoint=COMPUTE, routes=ROUTES)
