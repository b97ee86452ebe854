"""What becomes of the uploads that a node receives when it goes for good: they end, their images are queued again."""

from images.contents.commands import AbortUpload, KeepUpload, waits
from images.contents.model import Upload
from noded.core.departure import Departure, Hold, Leaver
from noded.core.store import View
from storage.volumes.model import Volume


def departure(view: View, leaver: Leaver) -> Departure:
    """The uploads, and the commands that end them."""
    uploads = [each for each in view.find(Upload, "node_id", leaver.node_id) if not waits(view, each)]
    kept = [each for each in view.find(Upload, "node_id", leaver.node_id) if each.resumable and each not in uploads]
    released = [_released(each) for each in kept if each.staged is None and view.need(Volume, each.file_id).node_id]
    return Departure(
        holds=tuple(Hold(noun=Upload.NOUN, id=each.id, name=each.image_id, fate="it ends") for each in uploads),
        commands=(*(AbortUpload(upload_id=each.id) for each in uploads), *released),
    )


def _released(upload: Upload) -> KeepUpload:
    """Another node may carry it on."""
    return KeepUpload(
        upload_id=upload.id,
        node_id=upload.node_id,
        kept_bytes=upload.kept_bytes,
        release=True,
        now_ms=upload.kept_at_ms,
    )
