"""Which API carries this package's services: Cinder v3, the catalogue's `block-storage`, once `volumev3`."""

from typing import Final

from noded.core.service import Endpoint, FaultStyle, Microversions

LOWEST = (3, 0)
HIGHEST = (3, 71)

ZONE: Final = "nova"

BLOCK_STORAGE = Endpoint(
    name="cinder",
    types=("block-storage", "volumev3"),
    prefix="/volume",
    catalog_path="/volume/v3",
    fault_style=FaultStyle.NOVA,
    strict_slash=True,
    project_after="/v3",
    microversions=Microversions(word="volume", legacy_header=None, lowest=LOWEST, highest=HIGHEST),
)
