"""Which API carries this package's services: Keystone v3, the catalogue's `identity`."""

from typing import Final

from noded.core.service import Endpoint, FaultStyle

IDENTITY: Final = Endpoint(
    name="keystone",
    types=("identity",),
    prefix="/identity/v3",
    fault_style=FaultStyle.KEYSTONE,
)
# The list of versions lives one step above the API itself, where clients look before they have a token.
IDENTITY_VERSIONS: Final = Endpoint(
    name="keystone-versions",
    types=(),
    prefix="/identity",
    fault_style=FaultStyle.KEYSTONE,
    in_catalog=False,
)
