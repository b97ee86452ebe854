"""Which API carries this package's services: Cinder v3, the catalogue's `block-storage`, once `volumev3`."""

from noded.core.service import Endpoint, FaultStyle, Microversions

LOWEST = (3, 0)
HIGHEST = (3, 0)

BLOCK_STORAGE = Endpoint(
    name="cinder",
    types=("block-storage", "volumev3"),
    prefix="/volume",
    catalog_path="/volume/v3",
    fault_style=FaultStyle.NOVA,
    microversions=Microversions(word="volume", legacy_header=None, lowest=LOWEST, highest=HIGHEST),
)
