"""How does Keystone wrap what it lists? Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from noded.identity.attributes import truth

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


def chosen(
    entries: Iterable[dict[str, object]], query: Mapping[str, str], names: Sequence[str]
) -> list[dict[str, object]]:
    """The entries whose attributes are as the query says; `names`: those that it may name."""
    asked = {name: query[name] for name in names if name in query}
    return [entry for entry in entries if all(_is(entry.get(name), word) for name, word in asked.items())]


def _is(value: object, word: str) -> bool:
    if isinstance(value, bool):
        return value == truth(word)
    return word == ("" if value is None else str(value))
