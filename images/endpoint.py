"""Which API carries this package's services: Glance v2, the catalogue's `image`."""

from noded.core.service import Endpoint, FaultStyle

IMAGE = Endpoint(name="glance", types=("image",), prefix="/image", fault_style=FaultStyle.GLANCE)
