"""Answers which disks the pool has, and takes what an administrator asks of one. Any node answers for all."""

import msgspec

from noded.core.route import Allow, Request, Response, Route
from storage.disks.authority import DiskAsked, DiskDesk, DiskGiven, PolicyAsked
from storage.disks.links import CapacityBook


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted of a disk. `plan`: only say what would happen."""

    weight: float | None = None
    draining: bool | None = None
    plan: bool = False
    scrub: bool = False


class _New(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is given to the pool: a directory or a block device of a node. `format`: a blank device may be written."""

    path: str
    node: str
    format: bool = False
    plan: bool = False


class _Light(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the light of a disk's slot shall shine."""

    lit: bool = True


class _Policy(PolicyAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of how replicas are moved."""


async def list_disks(request: Request) -> Response:
    """GET /noded/v1/disks: every disk, the pool, what moves, and how."""
    return Response(body=DiskDesk(request.cluster).listing())


async def set_disk(request: Request) -> Response:
    """POST /noded/v1/disks/{id}: another weight, drained or not, or checked from end to end."""
    body = await request.json(_Wish)
    asked = DiskAsked(disk=request.params["disk_id"], **msgspec.structs.asdict(body))
    return Response(body=await DiskDesk(request.cluster).set(asked))


async def remove_disk(request: Request) -> Response:
    """DELETE /noded/v1/disks/{id}: a disk on which nothing is leaves the pool."""
    return Response(body=await DiskDesk(request.cluster).remove(request.params["disk_id"]))


async def add_disk(request: Request) -> Response:
    """POST /noded/v1/disks: a directory or a device of a node becomes a disk of the pool."""
    body = await request.json(_New)
    asked = DiskGiven(path=body.path, node=body.node, format=body.format, plan=body.plan)
    return Response(body=await DiskDesk(request.cluster).add(asked))


async def locate_disk(request: Request) -> Response:
    """POST /noded/v1/disks/{id}/locate: let the light at its slot shine, or say which drive it is."""
    body = await request.json(_Light)
    return Response(body=await DiskDesk(request.cluster).locate(request.params["disk_id"], lit=body.lit))


async def show_progress(request: Request) -> Response:
    """GET /noded/v1/disk-progress: replicas that are behind or on their way, how far they are, and the forecast."""
    samples = request.driver(CapacityBook).samples()
    return Response(body=await DiskDesk(request.cluster).progress(samples))


async def show_health(request: Request) -> Response:
    """GET /noded/v1/disk-health: what the drive behind each disk says of itself."""
    return Response(body=await DiskDesk(request.cluster).health())


async def set_policy(request: Request) -> Response:
    """POST /noded/v1/disk-policy: how patiently and how fast replicas are moved."""
    body = await request.json(_Policy)
    return Response(body=await DiskDesk(request.cluster).policy(PolicyAsked(**msgspec.structs.asdict(body))))


ROUTES = (
    Route(verb="GET", path="/disks", handler=list_disks, allow=Allow.ADMIN),
    Route(verb="POST", path="/disks", handler=add_disk, allow=Allow.ADMIN),
    Route(verb="GET", path="/disk-progress", handler=show_progress, allow=Allow.ADMIN),
    Route(verb="GET", path="/disk-health", handler=show_health, allow=Allow.ADMIN),
    Route(verb="POST", path="/disks/{disk_id}/locate", handler=locate_disk, allow=Allow.ADMIN),
    Route(verb="POST", path="/disks/{disk_id}", handler=set_disk, allow=Allow.ADMIN),
    Route(verb="DELETE", path="/disks/{disk_id}", handler=remove_disk, allow=Allow.ADMIN),
    Route(verb="POST", path="/disk-policy", handler=set_policy, allow=Allow.ADMIN),
)
