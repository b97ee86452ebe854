"""Which items of a collection a query asks for, and which of their fields: Neutron's filters, sorting and paging. Pure.

Works on items in their API form, so every attribute that a client can see it can also filter and sort by.
API reference: "Filtering and Column Selection", "Sorting", "Pagination".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlencode

from noded.core.errors import Invalid, NotFound

Item = Mapping[str, object]

LIMIT_MAX = 1000  # items a page, however many are asked for; the next page is linked
LIMIT_DIGITS_MAX = 18  # Python itself reads no number of any length
_CONTROL = {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir", "changed_since"}
_TAG_FILTERS: dict[str, Callable[[set[str], set[str]], bool]] = {
    "tags": lambda have, asked: asked <= have,
    "tags-any": lambda have, asked: bool(asked & have),
    "not-tags": lambda have, asked: not asked <= have,
    "not-tags-any": lambda have, asked: not asked & have,
}
_TRUE = {"true", "1", "yes", "t", "on"}


class Query(Protocol):
    """What listing needs of a request."""

    @property
    def path(self) -> str: ...
    @property
    def base_url(self) -> str: ...
    @property
    def query(self) -> Mapping[str, str]: ...
    def query_all(self, name: str) -> list[str]: ...


def listed(request: Query, collection: str, items: Iterable[Item], attributes: Iterable[str]) -> dict[str, object]:
    """The body that answers a list request: the page asked for, and links to its neighbours.

    `attributes` are the names that may be filtered by; another name is refused with `Invalid`.
    """
    found = [item for item in items if _matches(request, item)]
    _refuse_unknown_filters(request, set(attributes))
    ordered = _sorted(request, found)
    page, more = _page(request, collection, ordered)
    body: dict[str, object] = {collection: [selected(request, item) for item in page]}
    links = _links(request, page, more)
    if links:
        body[f"{collection}_links"] = links
    return body


def selected(request: Query, item: Item) -> Item:
    """The fields of one item that the query's `fields` ask for; all if it asks for none."""
    wanted = set(request.query_all("fields")) - {""}
    return {name: value for name, value in item.items() if name in wanted} if wanted else item


def _refuse_unknown_filters(request: Query, attributes: set[str]) -> None:
    unknown = sorted(set(request.query) - attributes - _CONTROL - set(_TAG_FILTERS))
    if unknown:
        raise Invalid(f"{[name[:64] for name in unknown]} is invalid attribute for filtering", code="HTTPBadRequest")


def _matches(request: Query, item: Item) -> bool:
    for name in request.query:
        asked = request.query_all(name)
        if name in _TAG_FILTERS:
            words = {word for text in asked for word in text.split(",")}
            if not _TAG_FILTERS[name](set(_texts(item.get("tags"))), words):
                return False
        elif name == "changed_since":
            if str(item.get("updated_at", "")) < asked[-1]:
                return False
        elif name not in _CONTROL and name in item and not _attribute_matches(item[name], asked):
            return False
    return True


def _attribute_matches(value: object, asked: Sequence[str]) -> bool:
    if isinstance(value, bool):
        return any((text.lower() in _TRUE) is value for text in asked)
    if isinstance(value, list | tuple):
        if any(isinstance(part, Mapping) for part in value) or any("=" in text for text in asked):
            return _parts_match([part for part in value if isinstance(part, Mapping)], asked)
        return any(text in _texts(value) for text in asked)
    return ("" if value is None else str(value)) in asked


def _parts_match(parts: Sequence[Item], asked: Sequence[str]) -> bool:
    """Filters such as `fixed_ips=ip_address=10.0.0.5`: any value of one key, and every key that is named."""
    by_key: dict[str, list[str]] = {}
    for text in asked:
        key, _, value = text.partition("=")
        by_key.setdefault(key, []).append(value)
    return all(any(_part_matches(part, key, values) for part in parts) for key, values in by_key.items())


def _part_matches(part: Item, key: str, values: Sequence[str]) -> bool:
    if key.endswith("_substr"):
        text = str(part.get(key.removesuffix("_substr"), ""))
        return any(value in text for value in values)
    return str(part.get(key, "")) in values


def _texts(value: object) -> list[str]:
    return [str(part) for part in value] if isinstance(value, list | tuple) else []


def _sorted(request: Query, items: list[Item]) -> list[Item]:
    keys, directions = request.query_all("sort_key"), request.query_all("sort_dir")
    if len(keys) != len(directions) and directions:
        raise Invalid("The number of sort_keys and sort_dirs must be same", code="HTTPBadRequest")
    pairs = list(zip(keys, directions or ["asc"] * len(keys), strict=True))
    for key, direction in reversed(pairs):  # a stable sort: the last key first
        if direction not in ("asc", "desc"):
            raise Invalid(f"'{direction[:64]}' is invalid attribute for sort_dir: asc or desc", code="HTTPBadRequest")
        if items and key not in items[0]:
            raise Invalid(f"'{key[:64]}' is invalid attribute for sort_keys", code="HTTPBadRequest")
        items = sorted(items, key=lambda item: str(item.get(key, "")), reverse=direction == "desc")
    return items


def _page(request: Query, collection: str, items: list[Item]) -> tuple[list[Item], bool]:
    """The page, and whether there are items beyond it."""
    limit = _limit(request)
    marker = request.query.get("marker")
    backwards = request.query.get("page_reverse", "").lower() in _TRUE
    rest = list(reversed(items)) if backwards else items
    if marker is not None:
        positions = [at for at, item in enumerate(rest) if item.get("id") == marker]
        if not positions:
            raise NotFound(f"The marker {marker[:255]} is not in the list of {collection}.", code="HTTPNotFound")
        rest = rest[positions[0] + 1 :]
    page = rest[:limit]
    return (list(reversed(page)) if backwards else page), len(rest) > limit


def _limit(request: Query) -> int:
    text = request.query.get("limit")
    if text is None:
        return LIMIT_MAX
    if not text.isascii() or not text.isdecimal() or len(text) > LIMIT_DIGITS_MAX:
        raise Invalid(f"Limit must be an integer 0 or greater and not '{text[:64]}'", code="HTTPBadRequest")
    return min(int(text) or LIMIT_MAX, LIMIT_MAX)


def _links(request: Query, page: Sequence[Item], more: bool) -> list[dict[str, str]]:
    backwards = request.query.get("page_reverse", "").lower() in _TRUE
    paging = "limit" in request.query or more
    links = []
    if page and paging and (more or backwards):
        links.append(_link(request, "next", str(page[-1]["id"]), backwards=False))
    if page and paging and ("marker" in request.query or (backwards and more)):
        links.append(_link(request, "previous", str(page[0]["id"]), backwards=True))
    return links


def _link(request: Query, rel: str, marker: str, *, backwards: bool) -> dict[str, str]:
    kept = [
        (name, value)
        for name in request.query
        if name not in ("marker", "page_reverse")
        for value in request.query_all(name)
    ]
    kept.append(("marker", marker))
    if backwards:
        kept.append(("page_reverse", "True"))
    return {"rel": rel, "href": f"{request.base_url}{request.path}?{urlencode(kept)}"}
