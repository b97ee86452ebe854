"""What becomes of the uploads that a node receives when it goes for good: they end, their images are queued again."""

from images.contents.commands import AbortUpload, waits
from images.contents.model import Upload
from noded.core.departure import Departure, Hold, Leaver
from noded.core.store import View


def departure(view: View, leaver: Leaver) -> Departure:
    """The uploads, and the commands that end them."""
    uploads = [each for each in view.find(Upload, "node_id", leaver.node_id) if not waits(view, each)]
    return Departure(
        holds=tuple(Hold(noun=Upload.NOUN, id=each.id, name=each.image_id, fate="it ends") for each in uploads),
        commands=tuple(AbortUpload(upload_id=each.id) for each in uploads),
    )
