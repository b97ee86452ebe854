"""Which part of a list a Cinder client asked for, in which order, and the link to the rest. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from noded.core.errors import Invalid, NotFound

T = TypeVar("T")

LIMIT_MAX: Final = 1000  # items a page, however many are asked for
OFFSET_MAX: Final = 2**31 - 1

# What older clients call them.
_OLD_KEYS: Final = {"display_name": "name", "display_description": "description"}

Query = Mapping[str, str]
SortKeys = Mapping[str, Callable[[T], Any]]


def paged(
    items: Sequence[T], query: Query, url: str, keys: SortKeys[T], *, word: str, noun: str
) -> tuple[list[T], dict[str, object]]:
    """The asked page of `items`, and what the body says of the next one: `{word}_links`.

    Raises `Invalid` for a sort key, limit or offset that can't be, `NotFound` for an unknown marker.
    """
    ordered = _sorted(items, query, keys)
    id_of = keys["id"]
    start = _after([id_of(item) for item in ordered], query, noun) + whole(query, "offset", 0, OFFSET_MAX)
    limit = min(whole(query, "limit", LIMIT_MAX), LIMIT_MAX)
    chosen = ordered[start : start + limit]
    # A page that is exactly full has a link too, as in Cinder, although nothing may follow.
    if not chosen or len(chosen) < limit or ("limit" not in query and len(ordered) <= start + limit):
        return chosen, {}
    kept = [(name, value) for name, value in query.items() if name not in ("marker", "offset")]
    href = f"{url}?{urlencode([*kept, ('marker', id_of(chosen[-1]))])}"
    return chosen, {f"{word}_links": [{"rel": "next", "href": href}]}


def whole(query: Query, name: str, default: int, highest: int | None = None) -> int:
    """A query's whole number of zero or more."""
    written = query.get(name)
    if written is None:
        return default
    if not written.isascii() or not written.isdecimal() or len(written) > 18:
        raise Invalid(f"{name} must be a whole number of zero or more, not {written[:64]}.")
    if highest is not None and int(written) > highest:
        raise Invalid(f"{name} must be at most {highest}, not {written[:64]}.")
    return int(written)


def _sorted(items: Sequence[T], query: Query, keys: SortKeys[T]) -> list[T]:
    if "sort" in query and ("sort_key" in query or "sort_dir" in query):
        raise Invalid("The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with 'sort'.")
    if "sort" in query:
        pairs = [part.strip().partition(":") for part in query["sort"].split(",")]
        order = [(key.strip(), direction.strip() or "desc") for key, _, direction in pairs]
    else:
        order = [(query.get("sort_key", "created_at"), query.get("sort_dir", "desc"))]
    order = [(_OLD_KEYS.get(key, key), direction) for key, direction in order]
    ordered = sorted(items, key=keys["id"], reverse=order[0][1] == "desc")
    for key, direction in reversed(order):
        if key not in keys or direction not in ("asc", "desc"):
            raise Invalid(f"Sort by one of {', '.join(sorted(keys))}, asc or desc; not by {key[:64]}:{direction[:64]}.")
        ordered.sort(key=keys[key], reverse=direction == "desc")
    return ordered


def _after(ids: Sequence[str], query: Query, noun: str) -> int:
    marker = query.get("marker")
    if marker is None:
        return 0
    if marker not in ids:
        raise NotFound(f"{noun} {marker[:255]} could not be found.")
    return ids.index(marker) + 1
