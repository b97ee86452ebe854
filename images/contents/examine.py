"""Answers `noded doctor` for images: bytes without an image, images without their bytes, uploads that nobody makes."""

from collections.abc import Iterable
from typing import Final

from images.catalog.model import Image
from images.contents.commands import waits
from images.contents.live import LiveUploads
from images.contents.model import Upload
from noded.core.finding import Finding
from noded.core.service import PeerContext
from noded.core.store import View
from storage.volumes.model import Purpose, Volume

PATIENCE_S: Final = 60.0


def examine_images(view: View) -> Iterable[Finding]:
    """Images and uploads, beside the volumes that hold their bytes."""
    named: dict[str, str] = {}
    for image in view.all(Image):
        if image.contents is not None:
            named |= dict.fromkeys((image.contents.file_id, image.contents.disk_id), image.id)
        if image.upload_id is not None and view.get(Upload, image.upload_id) is None:
            yield _finding("stuck image", image.id, f"image {image.id} waits for an upload", "no upload fills it")
    for upload in view.all(Upload):
        named |= dict.fromkeys(upload.volume_ids, upload.image_id)
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


async def examine_uploads(context: PeerContext) -> list[Finding]:
    """The uploads that this node is said to receive."""
    live, view = context.drivers.get(LiveUploads), await context.cluster.fresh_view()
    return [
        Finding(
            kind="dead upload",
            subject=upload.id,
            what=f"nobody receives the upload to image {upload.image_id}",
            why="the daemon that did was restarted",
            mend="It is given up by itself within seconds; upload the image again.",
            node_id=context.cluster.node_id,
        )
        for upload in view.find(Upload, "node_id", context.cluster.node_id)
        if upload.id not in live and not waits(view, upload)
    ]
