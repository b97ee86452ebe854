"""Answers `noded doctor` for images: bytes without an image, and images without their bytes."""

from collections.abc import Iterable
from typing import Final

from images.catalog.model import Image
from images.contents.model import Upload
from images.exports.model import Export
from noded.core.finding import Finding
from noded.core.store import View
from storage.volumes.model import Purpose, Volume

PATIENCE_S: Final = 60.0


def examine_images(view: View) -> Iterable[Finding]:
    """Images and uploads, beside the volumes that hold their bytes."""
    named: dict[str, str] = {}
    for image in view.all(Image):
        if image.contents is not None:
            named |= dict.fromkeys((image.contents.file_id, image.contents.disk_id), image.id)
        filled = image.upload_id is None or any(view.get(kind, image.upload_id) for kind in (Upload, Export))
        if not filled:
            yield _finding("stuck image", image.id, f"image {image.id} waits for its contents", "nothing fills it")
    for upload in view.all(Upload):
        named |= dict.fromkeys(upload.volume_ids, upload.image_id)
    for export in view.all(Export):
        named[export.copy_id] = export.id
        yield Finding(
            kind="stuck image",
            subject=export.id,
            what=f"image {export.id} is being made of volume {export.volume_id}",
            why="its snapshot is not made, or its copy can't be read",
            mend="Delete the image to give it up; `noded volume explain` says what the copy waits for.",
            patience_s=PATIENCE_S,
        )
    for volume_id, image_id in sorted(named.items()):
        volume = view.get(Volume, volume_id)
        if volume is None or volume.deleting:
            yield _finding(
                "lost image", image_id, f"image {image_id} says that its bytes are in {volume_id}", "they are not there"
            )
    for volume in view.all(Volume):
        if volume.purpose is Purpose.IMAGE and not volume.deleting and volume.id not in named:
            yield _finding(
                "orphan volume", volume.id, f"volume {volume.id} holds an image's bytes", "no image names it"
            )


def _finding(kind: str, subject: str, what: str, why: str) -> Finding:
    return Finding(kind=kind, subject=subject, what=what, why=why, mend="Report it, with `noded history`.")
