"""What this Neutron can do: its resources and its extensions. Clients ask before they use a feature."""

from net.endpoint import NETWORK
from net.extensions.api import ROUTES
from noded.core.service import Service

SERVICE = Service(name="net.extensions", endpoint=NETWORK, routes=ROUTES)
