"""Services, hosts, pools and capabilities (Cinder): the nodes as operators and schedulers know them."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.services.api import ROUTES

SERVICE = Service(name="storage.services", endpoint=BLOCK_STORAGE, routes=ROUTES)
