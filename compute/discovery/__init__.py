"""Nova's version documents: what a client reads before it speaks any version (API reference, "API Versions")."""

from compute.discovery.api import ROUTES
from compute.endpoint import COMPUTE_VERSIONS
from noded.core.service import Service

SERVICE = Service(name="compute.discovery", endpoint=COMPUTE_VERSIONS, routes=ROUTES)
