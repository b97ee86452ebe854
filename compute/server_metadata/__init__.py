"""A server's metadata and tags (Nova API reference, "Server metadata", "Server tags"). The records are the servers'."""

from compute.endpoint import COMPUTE
from compute.server_metadata.api import ROUTES
from noded.core.service import Service

SERVICE = Service(name="compute.server_metadata", endpoint=COMPUTE, routes=ROUTES)
