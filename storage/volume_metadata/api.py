"""What the routes of a volume's metadata do (Cinder v3, "Volumes": metadata, and its single items)."""

from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.route import Allow, Request, Response, Route
from storage import inputs
from storage.inputs import Body
from storage.lookup import named_volume
from storage.volumes.commands import ChangeVolume


class MetadataBody(Body, frozen=True):
    """Metadata to set."""

    metadata: dict[str, str]


class MetaBody(Body, frozen=True):
    """One item to set."""

    meta: dict[str, str]


async def show_metadata(request: Request) -> Response:
    """All metadata of a volume."""
    return Response(body={"metadata": named_volume(request).words})


async def add_metadata(request: Request) -> Response:
    """Some more metadata."""
    added, volume = inputs.metadata((await request.json(MetadataBody)).metadata), named_volume(request)
    await request.cluster.propose(ChangeVolume(volume_id=volume.volume_id, added=added, now_ms=now_ms()))
    return Response(body={"metadata": dict(named_volume(request).metadata)})


async def replace_metadata(request: Request) -> Response:
    """These metadata and no others."""
    wanted = (await request.json(MetadataBody)).metadata
    words, volume_id = inputs.metadata(wanted), named_volume(request).volume_id
    await request.cluster.propose(ChangeVolume(volume_id=volume_id, metadata=words, now_ms=now_ms()))
    return Response(body={"metadata": words})


async def show_item(request: Request) -> Response:
    """One item."""
    words, key = named_volume(request).words, request.params["key"]
    if key not in words:
        raise NotFound(f"Metadata item was not found: the volume has none with key {key[:255]}.")
    return Response(body={"meta": {key: words[key]}})


async def set_item(request: Request) -> Response:
    """Set one item; the body names the same key as the path."""
    meta, volume = (await request.json(MetaBody)).meta, named_volume(request)
    if set(meta) != {request.params["key"]}:
        raise Invalid("Request body and URI mismatch: the body must have the key of the path, and no other.")
    added = inputs.metadata(meta)
    await request.cluster.propose(ChangeVolume(volume_id=volume.volume_id, added=added, now_ms=now_ms()))
    return Response(body={"meta": meta})


async def remove_item(request: Request) -> Response:
    """One item less."""
    removed = (request.params["key"],)
    volume_id = named_volume(request).volume_id
    await request.cluster.propose(ChangeVolume(volume_id=volume_id, removed=removed, now_ms=now_ms()))
    return Response()


_METADATA = "/v3/volumes/{volume_id}/metadata"

ROUTES = (
    Route(verb="GET", path=_METADATA, handler=show_metadata, allow=Allow.READER),
    Route(verb="POST", path=_METADATA, handler=add_metadata, allow=Allow.MEMBER),
    Route(verb="PUT", path=_METADATA, handler=replace_metadata, allow=Allow.MEMBER),
    Route(verb="GET", path=_METADATA + "/{key}", handler=show_item, allow=Allow.READER),
    Route(verb="PUT", path=_METADATA + "/{key}", handler=set_item, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_METADATA + "/{key}", handler=remove_item, allow=Allow.MEMBER),
)
