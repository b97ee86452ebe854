"""What block storage is told when a volume is to become an image (`storage.volumes.links.ImageExports`)."""

from images.catalog.links import form_for
from images.exports.commands import BeginExport
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.command import Command
from noded.core.errors import Invalid
from noded.core.ids import ImageId, VolumeId
from noded.core.route import Request
from storage.volumes.links import ImageWish
from storage.volumes.model import Volume

# What a volume knows of the image in it that is no property of an image made of it.
_NOT_PROPERTIES = frozenset(
    {"image_id", "image_name", "disk_format", "container_format", "checksum", "size", "min_disk", "min_ram"}
)


class CatalogExports:
    """New images in the catalogue."""

    def order(self, request: Request, volume: Volume, wish: ImageWish) -> tuple[str, Command]:
        """The id of a new image, and the command that makes it and asks for the volume's blocks."""
        if wish.disk_format != "raw":
            raise Invalid(
                f"Invalid input received: an image of a volume has the disk format raw here, not {wish.disk_format}:"
                " it shares the volume's blocks. Download it and convert it, where another format is needed."
            )
        words = volume.image_metadata
        keys: dict[str, object] = {
            "name": wish.name,
            "disk_format": wish.disk_format,
            "container_format": wish.container_format,
            "min_disk": _whole(words.get("min_disk")),
            "min_ram": _whole(words.get("min_ram")),
            "protected": wish.protected,
        }
        if wish.visibility is not None:
            keys["visibility"] = wish.visibility
        keys |= {key: value for key, value in words.items() if key not in _NOT_PROPERTIES}
        image_id = ImageId(dice.new_uuid())
        return image_id, BeginExport(
            image_id=image_id,
            form=form_for(request.caller, keys),
            volume_id=volume.volume_id,
            frozen_id=VolumeId(dice.new_uuid()),
            copy_id=VolumeId(dice.new_uuid()),
            cut_id=dice.new_uuid(),
            force=wish.force,
            request_id=request.request_id,
            message_id=dice.new_uuid(),
            now_ms=now_ms(),
        )


def _whole(word: str | None) -> int:
    return int(word) if word is not None and word.isascii() and word.isdecimal() else 0
