"""Tags on networks, subnets, ports and security groups: Neutron's extension `standard-attr-tag`."""

from net.endpoint import NETWORK
from net.tags.api import ROUTES
from noded.core.service import Service

SERVICE = Service(name="net.tags", endpoint=NETWORK, routes=ROUTES)
