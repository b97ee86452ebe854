"""Which drivers does the image service need of this machine? The daemon adds them all with one call."""

from images.catalog.disks import CatalogDisks
from images.contents.links import ImageBytes, WebSource
from images.contents.live import LiveUploads
from images.exports.orders import CatalogExports
from images.host.fetch import HttpSource
from images.host.transfer import ImageTransfer
from noded.core.reconciler import Drivers
from storage.volumes.links import ImageDisks, ImageExports


def add_image_drivers(drivers: Drivers) -> None:
    """Register what moves images' bytes."""
    drivers.add(ImageBytes, ImageTransfer())
    drivers.add(WebSource, HttpSource())
    drivers.add(LiveUploads, LiveUploads())
    drivers.add(ImageDisks, CatalogDisks())
    drivers.add(ImageExports, CatalogExports())
