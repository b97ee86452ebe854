"""What block storage is told of an image of which it is to make a volume (`storage.volumes.links.ImageDisks`)."""

from typing import Final

from images.catalog.commands import boot_source
from images.catalog.forms import UUID
from images.catalog.model import Image
from noded.core.errors import Invalid, NotFound, Refused
from noded.core.route import Caller
from noded.core.store import View
from noded.core.units import gib_ceil
from storage.volumes.links import ImageDisk

NOT_FOUND: Final = "ImageNotFound"


class CatalogDisks:
    """The disks of the images in the catalogue."""

    def disk(self, view: View, caller: Caller, image_id: str) -> ImageDisk:
        """The disk in the image. Raises `Refused` if the caller does not see it, or nothing can be made of it."""
        try:
            source = boot_source(view, caller, image_id, encrypted=True)
        except Refused as refused:
            if refused.code != NOT_FOUND:
                raise
            if UUID.fullmatch(image_id) is None:
                raise Invalid("Invalid image identifier or unable to access requested image. Say its UUID.") from None
            raise NotFound(f"Image {image_id[:255]} could not be found.") from None
        image = view.need(Image, image_id)
        words = {
            "image_id": image.id,
            "image_name": image.name or "",
            "disk_format": image.disk_format or "",
            "container_format": image.container_format or "",
            "min_disk": str(image.min_disk_gib),
            "min_ram": str(image.min_ram_mib),
        }
        if image.contents is not None:
            words |= {"checksum": image.contents.md5, "size": str(image.contents.size_bytes)}
        return ImageDisk(
            image_id=image.id,
            volume_id=source.volume_id,
            gib_min=max(gib_ceil(source.size_bytes), image.min_disk_gib),
            words=dict(image.properties) | words,
        )
