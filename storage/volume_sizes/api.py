"""What the action that extends a volume does (Cinder, "Volume actions")."""

from typing import Final

from consensus.liveness.links import Watch
from noded.core.clock import now_ms
from noded.core.retry import propose_chosen
from noded.core.route import Request, Response
from noded.core.units import GIB
from storage import inputs
from storage.actions import Action
from storage.extents.layout import extent_count
from storage.inputs import Body
from storage.lookup import named_volume
from storage.volume_sizes.commands import ExtendVolume
from storage.volumes.commands import PLACES_CHANGED, choose_layout
from storage.volumes.model import VOLUME_BYTES_MAX, Volume

ATTACHED_SINCE: Final = (3, 42)  # from then on also a volume that somebody has grows


class Extension(Body, frozen=True):
    """The value of `os-extend`."""

    new_size: int | str


async def _extend(request: Request, _: Volume, value: Extension) -> Response:
    size_bytes = inputs.number(value.new_size, "new_size", lowest=1, highest=VOLUME_BYTES_MAX // GIB) * GIB

    def order() -> ExtendVolume:
        volume = named_volume(request)
        extents = range(len(volume.layout), extent_count(size_bytes + volume.header_bytes, volume.extent_bytes))
        view, up = request.cluster.view(), request.driver(Watch).usable()
        tail = choose_layout(view, up, volume.volume_id, extents, replicas=volume.replicas_wanted) if extents else ()
        return ExtendVolume(
            volume_id=volume.volume_id,
            size_bytes=size_bytes,
            tail=tail,
            now_ms=now_ms(),
            attached=request.microversion >= ATTACHED_SINCE,
        )

    await propose_chosen(request.cluster, order, PLACES_CHANGED)
    return Response()


ACTIONS: Final[dict[str, Action]] = {"os-extend": Action(act=_extend, form=Extension)}
