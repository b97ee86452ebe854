"""Which part of a list a Nova client asked for (`limit`, `marker`), and the link to the next part."""

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from noded.core.errors import Invalid
from noded.core.route import Request

T = TypeVar("T")

LIMIT_MAX = 1000  # items a page, however many are asked for
LIMIT_DIGITS_MAX = 18  # Python itself reads no number of any length


def page(request: Request, items: Sequence[T], key: Callable[[T], str]) -> tuple[list[T], list[dict[str, str]]]:
    """The items of the asked page and the page's links; raises `Invalid` for a bad limit or an unknown marker."""
    limit = _limit(request)
    start = _after(request, items, key)
    chosen = list(items[start : start + limit])
    more = len(items) > start + limit and limit > 0
    return chosen, [_next_link(request, key(chosen[-1]))] if more else []


def _limit(request: Request) -> int:
    text = request.query.get("limit")
    if text is None:
        return LIMIT_MAX
    if not text.isascii() or not text.isdecimal() or len(text) > LIMIT_DIGITS_MAX:
        raise Invalid(f"Invalid input for query parameters limit. Value: {text[:64]}. It must be zero or more.")
    return min(int(text), LIMIT_MAX)


def _after(request: Request, items: Sequence[T], key: Callable[[T], str]) -> int:
    marker = request.query.get("marker")
    if marker is None:
        return 0
    for position, item in enumerate(items):
        if key(item) == marker:
            return position + 1
    raise Invalid(f"marker [{marker[:255]}] not found")


def _next_link(request: Request, marker: str) -> dict[str, str]:
    query = [(name, value) for name, value in request.query.items() if name != "marker"]
    query.append(("marker", marker))
    return {"rel": "next", "href": f"{request.base_url}{request.path.rstrip('/')}?{urlencode(query)}"}
