"""What is the catalogue made of, beside the APIs that the daemons serve? Everything that was told by hand.

Regions, services, endpoints, and which endpoints a project shall see. They stand together: each refers to the others.
"""

from typing import Any, ClassVar, Final

import msgspec

from noded.core.errors import NotFound
from noded.core.record import Record
from noded.core.store import View
from noded.identity.model import Extra

# The cloud's own region: every API of the daemons is in it. It has a record only once somebody describes it.
OWN_REGION: Final = "RegionOne"


class Region(Record, frozen=True, kw_only=True, tag="region.1"):
    """A place of endpoints."""

    INDEXED: ClassVar[tuple[str, ...]] = ("parent_region_id",)
    NOUN: ClassVar[str] = "region"

    id: str
    description: str = ""
    parent_region_id: str | None = None
    extra: Extra = msgspec.field(default_factory=dict)


class StoredService(Record, frozen=True, kw_only=True, tag="catalog_service.1"):
    """One API by its type. The daemon's own services have no record: they follow from what it serves."""

    NOUN: ClassVar[str] = "service"

    id: str
    type: str
    name: str = ""
    description: str | None = None
    enabled: bool = True
    extra: Extra = msgspec.field(default_factory=dict)


class StoredEndpoint(Record, frozen=True, kw_only=True, tag="catalog_endpoint.1"):
    """One address of one service. `url` may hold `%(project_id)s` and `%(user_id)s`, also with a dollar sign."""

    INDEXED: ClassVar[tuple[str, ...]] = ("service_id", "region_id")
    NOUN: ClassVar[str] = "endpoint"

    id: str
    service_id: str
    interface: str
    url: str
    region_id: str | None = None
    enabled: bool = True
    extra: Extra = msgspec.field(default_factory=dict)


class EndpointGroup(Record, frozen=True, kw_only=True, tag="endpoint_group.1"):
    """Endpoints by what they have in common: all whose attributes are as `filters` says."""

    NOUN: ClassVar[str] = "endpoint group"

    id: str
    name: str
    description: str | None = None
    filters: dict[str, Any] = msgspec.field(default_factory=dict)


class EndpointLink(Record, frozen=True, kw_only=True, tag="endpoint_link.1"):
    """A project sees an endpoint: either one, or all of a group. A project without any link sees everything."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "endpoint_id", "group_id")
    NOUN: ClassVar[str] = "endpoint association"

    id: str  # `link_id`
    project_id: str
    endpoint_id: str | None = None
    group_id: str | None = None


def link_id(project_id: str, endpoint_or_group_id: str) -> str:
    """The id that a link has on every node, so that making it twice changes nothing."""
    return f"{project_id}:{endpoint_or_group_id}"


def region_of(view: View, region_id: str) -> Region | None:
    """The region of that id; the cloud's own one is always there."""
    found = view.get(Region, region_id)
    return Region(id=OWN_REGION) if found is None and region_id == OWN_REGION else found


def need_region(view: View, region_id: str) -> Region:
    """The region of that id; raises `NotFound`."""
    found = region_of(view, region_id)
    if found is None:
        raise NotFound.of(Region.NOUN, region_id)
    return found


def all_regions(view: View) -> list[Region]:
    """Every region, the cloud's own one first."""
    return [need_region(view, OWN_REGION), *(each for each in view.all(Region) if each.id != OWN_REGION)]


def regions_below(view: View, region_id: str) -> list[Region]:
    """The regions below that one, at any depth, the nearest first."""
    found: list[Region] = []
    open_ids = [region_id]
    for above in open_ids:
        for child in view.find(Region, "parent_region_id", above):
            if child.id not in open_ids:
                found.append(child)
                open_ids.append(child.id)
    return found


def regions_above(view: View, region_id: str | None) -> list[str]:
    """That region and those above it, the nearest first."""
    found: list[str] = []
    while region_id is not None and region_id not in found:
        found.append(region_id)
        region = region_of(view, region_id)
        region_id = None if region is None else region.parent_region_id
    return found
