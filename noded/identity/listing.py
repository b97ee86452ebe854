"""How does Keystone wrap what it lists? Pure."""

from collections.abc import Sequence
from typing import Final

LIST_MAX: Final = 10_000  # no answer is longer; `truncated` then says that there is more


def listing(name: str, entries: Sequence[object], self_url: str) -> dict[str, object]:
    """`{name: [...], "links": {...}}`, cut to `LIST_MAX` entries."""
    body: dict[str, object] = {
        name: entries[:LIST_MAX],
        "links": {"next": None, "self": self_url, "previous": None},
    }
    if len(entries) > LIST_MAX:
        body["truncated"] = True
    return body
