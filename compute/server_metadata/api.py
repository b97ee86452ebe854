"""What the metadata and tag routes of a server do."""

from msgspec import field

from compute.inputs import Body
from compute.servers.commands import (
    ChangeServer,
    ServerChange,
    SetServerMetadata,
    checked_metadata,
    checked_tags,
)
from compute.servers.links import named_server
from compute.servers.model import Server
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.route import Allow, Done, Request, Response, Route

TAGS_SINCE = (2, 26)


class MetadataBody(Body, frozen=True):
    """Several entries."""

    metadata: dict[str, str]


class ItemBody(Body, frozen=True):
    """One entry."""

    meta: dict[str, str]


class TagsBody(Body, frozen=True):
    """All tags."""

    tags: tuple[str, ...] = field()


def _tagged(request: Request) -> Server:
    if request.microversion < TAGS_SINCE:
        raise NotFound("The resource could not be found.")
    return named_server(request)


async def list_metadata(request: Request) -> Response:
    """Every entry."""
    return Response(body={"metadata": dict(named_server(request).metadata)})


async def add_metadata(request: Request) -> Response:
    """Set some entries and keep the others."""
    changed = checked_metadata((await request.json(MetadataBody)).metadata)
    server = named_server(request)
    await request.cluster.propose(SetServerMetadata(server_id=server.id, changed=changed, now_ms=now_ms()))
    return Response(body={"metadata": dict(named_server(request).metadata)})


async def replace_metadata(request: Request) -> Response:
    """Put these entries in the place of all."""
    changed = checked_metadata((await request.json(MetadataBody)).metadata)
    server = named_server(request)
    command = SetServerMetadata(server_id=server.id, changed=changed, replaces_all=True, now_ms=now_ms())
    await request.cluster.propose(command)
    return Response(body={"metadata": dict(named_server(request).metadata)})


async def show_metadata_item(request: Request) -> Response:
    """One entry."""
    server, key = named_server(request), request.params["key"]
    if key not in server.metadata:
        raise NotFound("Metadata item was not found")
    return Response(body={"meta": {key: server.metadata[key]}})


async def set_metadata_item(request: Request) -> Response:
    """Set one entry; the body names the same key as the path."""
    changed, key = checked_metadata((await request.json(ItemBody)).meta), request.params["key"]
    if set(changed) != {key}:
        raise Invalid("Request body and URI mismatch")
    server = named_server(request)
    await request.cluster.propose(SetServerMetadata(server_id=server.id, changed=changed, now_ms=now_ms()))
    return Response(body={"meta": changed})


async def delete_metadata_item(request: Request) -> Response:
    """Remove one entry."""
    server = named_server(request)
    command = SetServerMetadata(server_id=server.id, removed=(request.params["key"],), now_ms=now_ms())
    await request.cluster.propose(command)
    return Response()


async def list_tags(request: Request) -> Response:
    """Every tag."""
    return Response(body={"tags": list(_tagged(request).tags)})


async def replace_tags(request: Request) -> Response:
    """Put these tags in the place of all."""
    tags = checked_tags((await request.json(TagsBody)).tags)
    await _set_tags(request, _tagged(request), tags)
    return Response(body={"tags": list(tags)})


async def delete_tags(request: Request) -> Response:
    """Remove every tag."""
    await _set_tags(request, _tagged(request), ())
    return Response()


async def check_tag(request: Request) -> Response:
    """Whether the server has the tag."""
    if request.params["tag"] not in _tagged(request).tags:
        raise NotFound(f"Server {request.params['server_id'][:64]} has no tag '{request.params['tag'][:64]}'")
    return Response()


async def add_tag(request: Request) -> Response:
    """Give the server one more tag; it is no mistake if it has it already."""
    server, tag = _tagged(request), request.params["tag"]
    if tag in server.tags:
        return Response(done=Done.EMPTY)
    await _set_tags(request, server, checked_tags((*server.tags, tag)))
    return Response(headers={"location": f"{request.base_url}{request.path}"})


async def delete_tag(request: Request) -> Response:
    """Take one tag away."""
    server, tag = _tagged(request), request.params["tag"]
    if tag not in server.tags:
        raise NotFound(f"Server {server.id} has no tag '{tag[:64]}'")
    await _set_tags(request, server, tuple(each for each in server.tags if each != tag))
    return Response()


async def _set_tags(request: Request, server: Server, tags: tuple[str, ...]) -> None:
    await request.cluster.propose(ChangeServer(server_id=server.id, change=ServerChange(tags=tags), now_ms=now_ms()))


_METADATA = "/servers/{server_id}/metadata"
_TAGS = "/servers/{server_id}/tags"
ROUTES = (
    Route(verb="GET", path=_METADATA, handler=list_metadata, allow=Allow.READER),
    Route(verb="POST", path=_METADATA, handler=add_metadata, allow=Allow.MEMBER),
    Route(verb="PUT", path=_METADATA, handler=replace_metadata, allow=Allow.MEMBER),
    Route(verb="GET", path=_METADATA + "/{key}", handler=show_metadata_item, allow=Allow.READER),
    Route(verb="PUT", path=_METADATA + "/{key}", handler=set_metadata_item, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_METADATA + "/{key}", handler=delete_metadata_item, allow=Allow.MEMBER, done=Done.EMPTY),
    Route(verb="GET", path=_TAGS, handler=list_tags, allow=Allow.READER),
    Route(verb="PUT", path=_TAGS, handler=replace_tags, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_TAGS, handler=delete_tags, allow=Allow.MEMBER, done=Done.EMPTY),
    Route(verb="GET", path=_TAGS + "/{tag}", handler=check_tag, allow=Allow.READER, done=Done.EMPTY),
    Route(verb="PUT", path=_TAGS + "/{tag}", handler=add_tag, allow=Allow.MEMBER, done=Done.CREATED),
    Route(verb="DELETE", path=_TAGS + "/{tag}", handler=delete_tag, allow=Allow.MEMBER, done=Done.EMPTY),
)
