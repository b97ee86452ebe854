"""Which namespaces a list shows, and in which order: filters, sorting and paging. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from images.metadefs.model import RESOURCE_TYPES, Namespace, Visibility
from images.metadefs.views import PATH
from noded.core.errors import Invalid, NotFound
from noded.core.route import Caller
from noded.core.store import View

LIMIT_DEFAULT: Final = 25
LIMIT_MAX: Final = 1000
_SORT: Final[dict[str, Callable[[Namespace], Any]]] = {
    "created_at": lambda namespace: namespace.created_at_ms,
    "updated_at": lambda namespace: namespace.updated_at_ms,
    "namespace": lambda namespace: namespace.name,
}

Query = Mapping[str, str]


def sees(caller: Caller, namespace: Namespace) -> bool:
    """Whether the caller may know of it."""
    if caller.is_admin or namespace.project_id == caller.project_id:
        return True
    return namespace.visibility is Visibility.PUBLIC


def resource_types(view: View, caller: Caller) -> list[str]:
    """Every type that is known, or that a namespace which the caller may see is for."""
    seen = (namespace for namespace in view.all(Namespace) if sees(caller, namespace))
    return sorted({name for namespace in seen for name in namespace.associations}.union(RESOURCE_TYPES))


def listed(view: View, caller: Caller, query: Query) -> tuple[Sequence[Namespace], dict[str, str]]:
    """The page that the query asks for, and its links. Raises `Invalid` for a query that can't be."""
    key, direction, limit = query.get("sort_key", "created_at"), query.get("sort_dir", "desc"), _limit(query)
    if key not in _SORT:
        raise Invalid(f"Invalid sort key: {key[:64]}. It must be one of {', '.join(_SORT)}.")
    if direction not in ("asc", "desc"):
        raise Invalid(f"Invalid sort direction: {direction[:64]}. It must be asc or desc.")
    if query.get("visibility", "public") not in list(Visibility):
        raise Invalid(f"Invalid visibility value: {query['visibility'][:64]}.")
    found = [each for each in view.all(Namespace) if sees(caller, each) and _matches(each, query)]
    found.sort(key=lambda each: each.name)
    found.sort(key=_SORT[key], reverse=direction == "desc")
    start = _after(found, query)
    page = found[start : start + limit]
    return page, _page_links(query, page, more=0 < limit < len(found) - start)


def _matches(namespace: Namespace, query: Query) -> bool:
    types = query.get("resource_types")
    if types is not None and not set(types.split(",")) & set(namespace.associations):
        return False
    if query.get("visibility", namespace.visibility) != namespace.visibility:
        return False
    return query.get("owner", namespace.project_id) == namespace.project_id


def _after(found: Sequence[Namespace], query: Query) -> int:
    marker = query.get("marker")
    if marker is None:
        return 0
    for position, namespace in enumerate(found):
        if namespace.name == marker:
            return position + 1
    raise NotFound.of(Namespace.NOUN, marker)


def _limit(query: Query) -> int:
    text = query.get("limit", str(LIMIT_DEFAULT))
    if not text.isascii() or not text.isdecimal() or len(text) > 19:
        raise Invalid(f"limit must be a whole number of zero or more, not {text[:64]}.")
    return min(int(text), LIMIT_MAX)


def _page_links(query: Query, page: Sequence[Namespace], *, more: bool) -> dict[str, str]:
    kept = [(name, value) for name, value in query.items() if name != "marker"]
    links = {"first": PATH + (f"?{urlencode(kept)}" if kept else "")}
    if more:
        links["next"] = f"{PATH}?{urlencode([*kept, ('marker', page[-1].name)])}"
    return links
