"""Which projects have the tags that a query asks for? Pure. (Identity API v3, "List projects", filtering by tags.)"""

from collections.abc import Mapping, Sequence


def fits_tags(tags: Sequence[str], query: Mapping[str, str]) -> bool:
    """Whether tags are as `tags`, `tags-any`, `not-tags` and `not-tags-any` say."""
    have = set(tags)
    wanted = {name: _words(query.get(name)) for name in ("tags", "tags-any", "not-tags", "not-tags-any")}
    return (
        wanted["tags"] <= have
        and (not wanted["tags-any"] or bool(wanted["tags-any"] & have))
        and (not wanted["not-tags"] or not wanted["not-tags"] <= have)
        and not wanted["not-tags-any"] & have
    )


def _words(text: str | None) -> set[str]:
    return {word for word in (text or "").split(",") if word}
