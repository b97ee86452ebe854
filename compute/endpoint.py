"""Which API carries this package's services: Nova v2.1, the catalogue's `compute`."""

from noded.core.service import Endpoint, FaultStyle, Microversions

LOWEST = (2, 1)
HIGHEST = (2, 96)

COMPUTE = Endpoint(
    name="nova",
    types=("compute",),
    prefix="/compute/v2.1",
    fault_style=FaultStyle.NOVA,
    microversions=Microversions(
        word="compute",
        legacy_header="X-OpenStack-Nova-API-Version",
        lowest=LOWEST,
        highest=HIGHEST,
    ),
)

# Which versions there are is asked one step above the API itself, before the client has a token.
COMPUTE_VERSIONS = Endpoint(
    name="nova-versions",
    types=(),
    prefix="/compute",
    fault_style=FaultStyle.NOVA,
    in_catalog=False,
)
