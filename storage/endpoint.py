"""Which API carries this package's services: Cinder v3, the catalogue's `block-storage`, once `volumev3`."""

from typing import Final

from noded.core.service import Endpoint, FaultStyle, Microversions

LOWEST = (3, 0)
HIGHEST = (3, 71)

ZONE: Final = "nova"
BACKEND: Final = "noded"
POOL: Final = "pool"
VENDOR: Final = "Open Source"
PROTOCOL: Final = "NBD"
# What a type may ask for as its protocol. Types that were written for other clouds ask for iSCSI and mean what there is
# here: a block device over the network.
PROTOCOLS: Final = ("nbd", "iscsi")

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
