"""How does Keystone choose from, cut and wrap what it lists? Pure. (Identity API v3, "Filtering", "Pagination".)"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from noded.core.errors import Invalid
from noded.core.route import Request, Response
from noded.identity.attributes import truth

LIST_MAX: Final = 10_000  # no answer is longer; `truncated` then says that there is more

SORT_KEYS_MAX: Final = 5
_MAY_LACK: Final = frozenset({"description", "email", "default_project_id"})  # they are left out where there is none

Entry = Mapping[str, Any]
_INEXACT: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": lambda value, wanted: wanted in value,
    "icontains": lambda value, wanted: wanted.lower() in value.lower(),
    "startswith": lambda value, wanted: value.startswith(wanted),
    "istartswith": lambda value, wanted: value.lower().startswith(wanted.lower()),
    "endswith": lambda value, wanted: value.endswith(wanted),
    "iendswith": lambda value, wanted: value.lower().endswith(wanted.lower()),
}


def listing(name: str, entries: Sequence[object], self_url: str) -> dict[str, object]:
    """`{name: [...], "links": {...}}`, cut to `LIST_MAX` entries."""
    body: dict[str, object] = {
        name: entries[:LIST_MAX],
        "links": {"next": None, "self": self_url, "previous": None},
    }
    if len(entries) > LIST_MAX:
        body["truncated"] = True
    return body


def listed(request: Request, name: str, entries: Iterable[Entry], self_url: str, *filters: str) -> Response:
    """The entries that the query asks for. `filters`: the attributes by which this list may be filtered.

    `ATTRIBUTE=value` is exact, `ATTRIBUTE__contains=value` and the like are not; other names are ignored. `sort_key`
    (one attribute or several) and `sort_dir` order it, `limit` and `marker` (the id of the last entry of the page
    before) cut it into pages.
    """
    query = request.query
    fitting = _sorted([entry for entry in entries if _fits(entry, query, filters)], query)
    rest = _after(fitting, query.get("marker"))
    limit = _limit(query.get("limit"))
    page = rest[:limit]
    body = listing(name, page, self_url)
    if len(page) < len(rest):
        others = {key: value for key, value in query.items() if key != "marker"}
        following = urlencode({**others, "limit": limit, "marker": page[-1]["id"]})
        body["links"] = {"next": f"{self_url}?{following}", "self": self_url, "previous": None}
        if "limit" not in query:
            body["truncated"] = True
    return Response(body=body)


def chosen(
    entries: Iterable[dict[str, object]], query: Mapping[str, str], names: Sequence[str]
) -> list[dict[str, object]]:
    """The entries whose attributes are as the query says; `names`: those that it may name."""
    return [entry for entry in entries if _fits(entry, query, names)]


def _fits(entry: Entry, query: Mapping[str, str], filters: Iterable[str]) -> bool:
    for name, wanted in query.items():
        attribute, _, comparison = name.partition("__")
        if attribute not in filters:
            continue
        value = entry.get(attribute)
        if isinstance(value, bool):
            if value != truth(wanted):
                return False
        elif comparison in _INEXACT:
            if not isinstance(value, str) or not _INEXACT[comparison](value, wanted):
                return False
        elif not comparison and wanted != ("" if value is None else str(value)):
            return False
    return True


def _sorted(entries: list[Entry], query: Mapping[str, str]) -> list[Entry]:
    """By the attributes of `sort_key`, the first one counting most; what has none of a name comes first."""
    keys = [key for key in query.get("sort_key", "").split(",") if key]
    if not keys:
        return entries
    ways = query.get("sort_dir", "asc").split(",")
    if not set(ways) <= {"asc", "desc"} or len(ways) > len(keys) or len(keys) > SORT_KEYS_MAX:
        raise Invalid(f"sort_dir is asc or desc for each of up to {SORT_KEYS_MAX} attributes that sort_key names.")
    for key, way in reversed([(key, ways[min(at, len(ways) - 1)]) for at, key in enumerate(keys)]):
        if any(key not in entry and key not in _MAY_LACK for entry in entries):
            raise Invalid(f"There is no attribute {key[:64]} here to sort by.")
        entries = sorted(entries, key=lambda entry: _rank(entry.get(key)), reverse=way == "desc")
    return entries


def _rank(value: object) -> tuple[bool, str | float]:
    """Comparable with that of every other value of the attribute."""
    if isinstance(value, bool | int | float):
        return (True, float(value))
    return (value is not None, "" if value is None else str(value))


def _after(entries: list[Entry], marker: str | None) -> list[Entry]:
    if marker is None:
        return entries
    at = next((index for index, entry in enumerate(entries) if entry["id"] == marker), None)
    if at is None:
        raise Invalid(f"The marker {marker[:255]} is not the id of anything in this list: take the last one of a page.")
    return entries[at + 1 :]


def _limit(text: str | None) -> int:
    if text is None:
        return LIST_MAX
    if not text.isdecimal() or not text.isascii() or int(text) < 1:
        raise Invalid(f"The limit {text[:255]} is no whole number from 1 on.")
    return min(int(text), LIST_MAX)
