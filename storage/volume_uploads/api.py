"""What the action that makes an image of a volume does (Cinder, "Upload volume to image")."""

from typing import Final, Literal

from noded.core.errors import Invalid
from noded.core.route import Request, Response
from noded.core.times import naive_micro
from storage import inputs
from storage.actions import Action
from storage.inputs import Body, Flag
from storage.lookup import named_volume
from storage.types.model import VolumeType, get_type
from storage.volumes.links import ImageExports, ImageWish
from storage.volumes.model import Volume

SHARING_SINCE: Final = (3, 1)  # from then on the body says who sees the image, and whether it is protected


class Upload(Body, frozen=True):
    """The value of `os-volume_upload_image`."""

    image_name: str
    force: Flag | None = None
    disk_format: Literal["raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"] | None = None
    container_format: str | None = None
    visibility: Literal["community", "public", "private", "shared"] | None = None
    protected: Flag | None = None


async def _upload(request: Request, volume: Volume, value: Upload) -> Response:
    """A new image that is to have what the volume is now. The answer comes before it has."""
    shares = request.microversion >= SHARING_SINCE
    if not shares and (value.visibility is not None or value.protected is not None):
        raise Invalid(
            "Invalid input for field/attribute os-volume_upload_image: visibility and protected are there"
            " since microversion 3.1."
        )
    wish = ImageWish(
        name=inputs.name(value.image_name, "image_name"),
        disk_format=value.disk_format or "raw",
        container_format=value.container_format or "bare",
        visibility=(value.visibility or "private") if shares else None,
        protected=value.protected is not None and inputs.flag(value.protected, "protected"),
        force=value.force is not None and inputs.flag(value.force, "force"),
    )
    image_id, order = request.driver(ImageExports).order(request, volume, wish)
    await request.cluster.propose(order)
    volume = named_volume(request)
    view = request.cluster.view()
    kind = get_type(view, volume.type_id)
    body: dict[str, object] = {
        "id": volume.id,
        "updated_at": naive_micro(volume.updated_at_ms),
        "status": volume.status,
        "display_description": volume.description or None,
        "size": volume.gib,
        "volume_type": None if kind is None else _kind(kind),
        "image_id": image_id,
        "container_format": wish.container_format,
        "disk_format": wish.disk_format,
        "image_name": wish.name,
    }
    if shares:
        body |= {"protected": wish.protected, "visibility": wish.visibility}
    return Response(body={"os-volume_upload_image": body})


def _kind(kind: VolumeType) -> dict[str, object]:
    return {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "is_public": kind.is_public,
        "extra_specs": dict(kind.extra_specs),
        "qos_specs_id": kind.qos_id,
    }


ACTIONS: Final[dict[str, Action]] = {"os-volume_upload_image": Action(act=_upload, form=Upload)}
