"""Which volume does a request mean? The one of that id that Cinder shows to this caller."""

from noded.core.errors import NotFound
from noded.core.route import Request, owned
from storage.volumes.model import Group, Purpose, Volume


def volume_of(request: Request, volume_id: str) -> Volume:
    """The volume of that id. Raises `NotFound` alike where it is another project's, a root disk, or not there."""
    volume = request.cluster.view().get(Volume, volume_id)
    shown = volume if volume is not None and volume.purpose is Purpose.DATA else None
    try:
        return owned(request.caller, shown, shown.project_id if shown else None, volume_id)
    except NotFound:
        raise NotFound(f"Volume {volume_id[:255]} could not be found.") from None


def named_volume(request: Request) -> Volume:
    """The volume that the path names as `{volume_id}`."""
    return volume_of(request, request.params["volume_id"])


def group_of(request: Request, group_id: str) -> Group:
    """The group of that id. Raises `NotFound` alike where it is another project's, or not there."""
    found = request.cluster.view().get(Group, group_id)
    try:
        return owned(request.caller, found, found.project_id if found else None, group_id)
    except NotFound:
        raise NotFound(f"Group {group_id[:255]} could not be found.") from None
