"""Which images a list shows, and in which order: Glance's filters, sorting and paging. Pure."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from images.catalog.commands import MEMBER_STATES
from images.catalog.model import Image, Membership, Visibility, membership_id
from images.catalog.views import image_view
from noded.core.errors import Invalid
from noded.core.route import Caller
from noded.core.store import View

LIMIT_DEFAULT: Final = 25
LIMIT_MAX: Final = 1000
WANTED_STATES: Final = (*MEMBER_STATES, "all")
SORT_KEYS: Final = (
    "name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at", "min_disk",
    "min_ram", "owner", "visibility", "protected", "virtual_size", "checksum", "os_hash_value", "os_hidden",
)  # fmt: skip
# What is not a filter on a value of the image itself.
_CONTROLS: Final = frozenset({
    "limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "tag", "os_hidden", "size_min",
    "size_max", "created_at", "updated_at",
})  # fmt: skip
_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}
_LISTS_ALLOWED: Final = frozenset({"id", "name", "status", "container_format", "disk_format"})

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list."""

    images: Sequence[Image]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """What a query may say several times."""

    tags: Sequence[str] = ()
    sort_keys: Sequence[str] = ()
    sort_dirs: Sequence[str] = ()


def listed(view: View, caller: Caller, query: Query, repeated: Repeated) -> Page:
    """The page that the query asks for. Raises `Invalid` for a query that can't be."""
    chosen = [image for image in _seen(view, caller, query) if _matches(image, query, repeated.tags)]
    chosen = _sorted(chosen, _order(query, repeated.sort_keys, repeated.sort_dirs))
    start = _after(chosen, query)
    limit = _limit(query)
    return Page(images=chosen[start : start + limit], more=0 < limit < len(chosen) - start)


def page_links(query: Query, repeated: Repeated, page: Page) -> dict[str, str]:
    """`first`, and `next` where there is more, as paths below the endpoint."""
    several = {"tag": repeated.tags, "sort_key": repeated.sort_keys, "sort_dir": repeated.sort_dirs}
    kept = [(name, value) for name, value in query.items() if name != "marker" and name not in several]
    kept += [(name, value) for name, values in several.items() for value in values]
    links = {"first": "/v2/images" + (f"?{urlencode(kept)}" if kept else "")}
    if page.more:
        links["next"] = f"/v2/images?{urlencode([*kept, ('marker', page.images[-1].id)])}"
    return links


def _seen(view: View, caller: Caller, query: Query) -> Iterable[Image]:
    wanted = query.get("visibility")
    if wanted is not None and wanted not in (*Visibility, "all"):
        raise Invalid(f"Invalid visibility value: {wanted[:64]}.")
    member_state = query.get("member_status", "accepted")
    if member_state not in WANTED_STATES:
        raise Invalid(f"Invalid status: {member_state[:64]}; it is one of {', '.join(WANTED_STATES)}.")
    hidden = _word(query.get("os_hidden", "false"), "os_hidden")
    for image in view.all(Image):
        if image.hidden != hidden or (wanted not in (None, "all") and image.visibility != wanted):
            continue
        if _lists(view, caller, image, member_state, community=wanted in ("community", "all")):
            yield image


def _lists(view: View, caller: Caller, image: Image, member_state: str, *, community: bool) -> bool:
    if caller.is_admin or image.project_id == caller.project_id or image.visibility is Visibility.PUBLIC:
        return True
    if image.visibility is Visibility.COMMUNITY:
        return community
    if image.visibility is not Visibility.SHARED:
        return False
    member = view.get(Membership, membership_id(image.image_id, caller.project))
    return member is not None and member_state in ("all", member.state)


def _matches(image: Image, query: Query, tags: Sequence[str]) -> bool:
    if not set(tags) <= set(image.tags):
        return False
    size = image.contents.size_bytes if image.contents else 0
    if size < _whole(query, "size_min", 0) or size > _whole(query, "size_max", 1 << 63):
        return False
    times = {"created_at": image.created_at_ms, "updated_at": image.updated_at_ms}
    if any(name in query and not _compares(name, query[name], ms) for name, ms in times.items()):
        return False
    wanted = {name: value for name, value in query.items() if name not in _CONTROLS}
    if not wanted:
        return True
    values = image_view(image)
    return all(_equals(name, values.get(name), value) for name, value in wanted.items())


def _equals(name: str, value: object, wanted: str) -> bool:
    if isinstance(value, bool):
        return value == _word(wanted, name)
    text = "" if value is None else str(value)
    if name in _LISTS_ALLOWED and wanted.startswith("in:"):
        return text in [each.strip('"') for each in wanted[3:].split(",")]
    return text == wanted


def _compares(name: str, wanted: str, ms: int) -> bool:
    word, _, time = wanted.partition(":")
    if word not in _COMPARISONS:
        word, time = "eq", wanted
    try:
        moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
    except ValueError:
        raise Invalid(f"{name}: {wanted[:64]} is not a time such as gte:2026-01-02T03:04:05Z.") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    # Times are shown in whole seconds and so they are compared.
    return _COMPARISONS[word](ms // 1000, int(moment.timestamp()))


def _sorted(images: list[Image], order: Sequence[tuple[str, str]]) -> list[Image]:
    images.sort(key=lambda image: image.id, reverse=order[0][1] == "desc")
    for key, direction in reversed(order):
        images.sort(key=lambda image: _sort_value(image, key), reverse=direction == "desc")
    return images


def _order(query: Query, sort_keys: Sequence[str], sort_dirs: Sequence[str]) -> list[tuple[str, str]]:
    if "sort" in query:
        if sort_keys or sort_dirs:
            raise Invalid("Give either sort, or sort_key and sort_dir.")
        pairs = [part.strip().partition(":") for part in query["sort"].split(",")]
        order = [(key, direction or "desc") for key, _, direction in pairs]
    else:
        keys = sort_keys or ("created_at",)
        # One direction is meant for all keys; several are each for the key at its place.
        directions = sort_dirs if len(sort_dirs) > 1 else [*sort_dirs, "desc"][:1] * len(keys)
        if len(directions) != len(keys):
            count = len(directions)
            raise Invalid(f"There are {count} sort directions for {len(keys)} sort keys. Give one, or as many.")
        order = list(zip(keys, directions, strict=True))
    for key, direction in order:
        if key not in SORT_KEYS:
            raise Invalid(f"Invalid sort key: {key[:64]}. It must be one of {', '.join(SORT_KEYS)}.")
        if direction not in ("asc", "desc"):
            raise Invalid(f"Invalid sort direction: {direction[:64]}. It must be asc or desc.")
    return order


def _sort_value(image: Image, key: str) -> tuple[bool, int, str]:
    if key in ("created_at", "updated_at"):
        return (True, image.created_at_ms if key == "created_at" else image.updated_at_ms, "")
    value = image_view(image)[key]
    number = value if isinstance(value, int) else 0
    return (value is not None, number, value if isinstance(value, str) else "")


def _after(images: Sequence[Image], query: Query) -> int:
    marker = query.get("marker")
    if marker is None:
        return 0
    for position, image in enumerate(images):
        if image.id == marker:
            return position + 1
    raise Invalid(f"Marker {marker[:255]} could not be found.")


def _limit(query: Query) -> int:
    return min(_whole(query, "limit", LIMIT_DEFAULT), LIMIT_MAX)


def _whole(query: Query, name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 19:
        raise Invalid(f"{name} must be a whole number of zero or more, not {text[:64]}.")
    return int(text)


def _word(text: str, name: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Invalid(f"{name} must be true or false, not {text[:64]}.")
    return text.lower() == "true"
