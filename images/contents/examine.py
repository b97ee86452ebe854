"""Answers `noded doctor` for uploads: those that nobody receives."""

from images.contents.commands import waits
from images.contents.live import LiveUploads
from images.contents.model import Upload
from noded.core.finding import Finding
from noded.core.service import PeerContext


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
