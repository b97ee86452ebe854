"""Answers /regions."""

from typing import Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Invalid
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity.attributes import Name255, Text, read
from noded.identity.listing import chosen, listed
from noded.identity.places import all_regions, need_region
from noded.identity.regions.commands import CreateRegion, DeleteRegion, UpdateRegion
from noded.identity.regions.views import region_body
from noded.identity.views import link


class RegionBody(msgspec.Struct, frozen=True):
    """`{"region": {...}}`."""

    region: dict[str, Any]


class RegionForm(msgspec.Struct, frozen=True):
    """A new region."""

    id: Name255 | None = None
    description: Text | None = None
    parent_region_id: Name255 | None = None


class RegionChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    parent_region_id: Name255 | msgspec.UnsetType | None = msgspec.UNSET


async def create_region(request: Request) -> Response:
    """POST /regions; without an id one is drawn."""
    form, extra = read((await request.json(RegionBody)).region, RegionForm)
    return await _create(request, form.id or new_hex_id(), form, extra)


async def put_region(request: Request) -> Response:
    """PUT /regions/{region_id}: a new region of that id."""
    form, extra = read((await request.json(RegionBody)).region, RegionForm)
    region_id = request.params["region_id"]
    if form.id not in (None, region_id):
        raise Invalid("The region id in the path and the one in the body must be the same.")
    return await _create(request, region_id, form, extra)


async def _create(request: Request, region_id: str, form: RegionForm, extra: dict[str, Any]) -> Response:
    await request.cluster.propose(
        CreateRegion(
            region_id=region_id,
            description=form.description or "",
            parent_region_id=form.parent_region_id,
            extra=extra,
        )
    )
    return _answer(request, region_id)


async def list_regions(request: Request) -> Response:
    """GET /regions, by `parent_region_id`."""
    entries = [region_body(request.base_url, region) for region in all_regions(request.cluster.view())]
    found = chosen(entries, request.query, ("parent_region_id",))
    return listed(request, "regions", found, link(request.base_url, "regions"))


async def show_region(request: Request) -> Response:
    """GET /regions/{region_id}."""
    return _answer(request, request.params["region_id"])


async def update_region(request: Request) -> Response:
    """PATCH /regions/{region_id}."""
    attributes = (await request.json(RegionBody)).region
    change, extra = read(attributes, RegionChange)
    region_id = request.params["region_id"]
    if attributes.get("id", region_id) != region_id:
        raise Invalid("Cannot change region ID.")
    await request.cluster.propose(
        UpdateRegion(
            region_id=region_id,
            description="" if change.description is None else change.description,
            parent_region_id=change.parent_region_id,
            extra=extra,
        )
    )
    return _answer(request, region_id)


async def delete_region(request: Request) -> Response:
    """DELETE /regions/{region_id}."""
    await request.cluster.propose(DeleteRegion(region_id=request.params["region_id"]))
    return Response()


def _answer(request: Request, region_id: str) -> Response:
    region = need_region(request.cluster.view(), region_id)
    return Response(body={"region": region_body(request.base_url, region)})


_ONE = "/regions/{region_id}"

ROUTES = (
    Route(verb="POST", path="/regions", handler=create_region, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path="/regions", handler=list_regions, allow=Allow.ANY_TOKEN),
    Route(verb="PUT", path=_ONE, handler=put_region, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_ONE, handler=show_region, allow=Allow.ANY_TOKEN),
    Route(verb="PATCH", path=_ONE, handler=update_region, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_region, allow=Allow.ADMIN, done=Done.EMPTY),
)
