"""Which API carries this package's services: Neutron v2.0, the catalogue's `network`."""

from noded.core.service import Endpoint, FaultStyle

NETWORK = Endpoint(
    name="neutron",
    types=("network",),
    prefix="/network/v2.0",
    fault_style=FaultStyle.NEUTRON,
    catalog_path="/network",
)

# The version list lives one step above the API itself, where clients look before they have a token.
NETWORK_VERSIONS = Endpoint(
    name="neutron-versions",
    types=(),
    prefix="/network",
    fault_style=FaultStyle.NEUTRON,
    in_catalog=False,
)
