"""Which volumes a list shows, and in which order: Cinder's filters, sorting and paging. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from noded.core.errors import Invalid, NotFound
from noded.core.route import Caller
from noded.core.store import View
from storage.volumes.model import Purpose, Volume
from storage.volumes.views import ZONE, bootable, status

LIMIT_MAX: Final = 1000
SORT_KEYS: Final = ("created_at", "id", "name", "size", "status", "updated_at")

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list."""

    volumes: Sequence[Volume]
    more: bool


def of_project(view: View, caller: Caller, *, everyones: bool = False) -> list[Volume]:
    """The volumes that Cinder shows: root disks and images' volumes are their servers' and images' own affair."""
    found = view.all(Volume) if everyones else view.find(Volume, "project_id", caller.project)
    return [volume for volume in found if volume.purpose is Purpose.DATA]


def listed(view: View, caller: Caller, query: Query) -> Page:
    """The page that the query asks for. Raises `Invalid` for a query that can't be."""
    everyones = caller.is_admin and query.get("all_tenants", "0").lower() in ("1", "true")
    chosen = [volume for volume in of_project(view, caller, everyones=everyones) if _matches(volume, query)]
    chosen = _sorted(chosen, query)
    start = _after(chosen, query) + _whole(query, "offset", 0)
    limit = min(_whole(query, "limit", LIMIT_MAX), LIMIT_MAX)
    return Page(volumes=chosen[start : start + limit], more=0 < limit < len(chosen) - start)


def page_links(query: Query, page: Page, url: str) -> dict[str, object]:
    """The link to the next page, where there is one."""
    if not page.more:
        return {}
    kept = [(name, value) for name, value in query.items() if name not in ("marker", "offset")]
    following = urlencode([*kept, ("marker", page.volumes[-1].id)])
    return {"volumes_links": [{"rel": "next", "href": f"{url}?{following}"}]}


def _matches(volume: Volume, query: Query) -> bool:
    facts = {
        "name": volume.name,
        "status": status(volume),
        "availability_zone": ZONE,
        "bootable": bootable(volume),
        "id": volume.id,
        "project_id": volume.project_id,
    }
    if any(query[name].lower() != value.lower() for name, value in facts.items() if name in query):
        return False
    return "metadata" not in query or _metadata(query["metadata"]).items() <= volume.metadata.items()


def _metadata(text: str) -> dict[str, str]:
    """`{'key': 'value'}`, as clients write it: Python's notation, not JSON's."""
    pairs = [part.partition(":") for part in text.strip().removeprefix("{").removesuffix("}").split(",") if part]
    if any(not colon for _, colon, _ in pairs):
        raise Invalid(f"metadata must look like {{'key': 'value'}}, not {text[:64]}.")
    return {key.strip().strip("'\""): value.strip().strip("'\"") for key, _, value in pairs}


def _sorted(volumes: list[Volume], query: Query) -> list[Volume]:
    if "sort" in query:
        pairs = [part.strip().partition(":") for part in query["sort"].split(",")]
        order = [(key, direction or "desc") for key, _, direction in pairs]
    else:
        order = [(query.get("sort_key", "created_at"), query.get("sort_dir", "desc"))]
    for key, direction in reversed(order):
        if key not in SORT_KEYS or direction not in ("asc", "desc"):
            raise Invalid(f"Sort by one of {', '.join(SORT_KEYS)}, asc or desc; not by {key[:64]}:{direction[:64]}.")
        volumes.sort(key=lambda volume: _sort_value(volume, key), reverse=direction == "desc")
    return volumes


def _sort_value(volume: Volume, key: str) -> tuple[int, str]:
    numbers = {"created_at": volume.created_at_ms, "updated_at": volume.updated_at_ms, "size": volume.size_bytes}
    if key in numbers:
        return (numbers[key], volume.id)
    return (0, status(volume) if key == "status" else str(getattr(volume, key)))


def _after(volumes: Sequence[Volume], query: Query) -> int:
    marker = query.get("marker")
    if marker is None:
        return 0
    for position, volume in enumerate(volumes):
        if volume.id == marker:
            return position + 1
    raise NotFound(f"Volume {marker[:255]} could not be found.")


def _whole(query: Query, name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Invalid(f"{name} must be a whole number of zero or more, not {text[:64]}.")
    return int(text)
