"""Which volumes a list shows, and in which order: Cinder's filters and sorting. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from noded.core.errors import Invalid
from noded.core.route import Caller
from noded.core.store import View
from noded.core.times import parsed_ms
from storage import inputs
from storage.endpoint import ZONE
from storage.types.model import type_name
from storage.volumes import versions
from storage.volumes.model import Purpose, Volume
from storage.volumes.versions import Version
from storage.volumes.views import bootable, host_of

Query = Mapping[str, str]

SORT_KEYS: Final[Mapping[str, Callable[[Volume], Any]]] = {
    "id": lambda volume: volume.id,
    "name": lambda volume: volume.name,
    "size": lambda volume: volume.size_bytes,
    "status": lambda volume: volume.status,
    "created_at": lambda volume: volume.created_at_ms,
    "updated_at": lambda volume: volume.updated_at_ms,
    "bootable": bootable,
    "availability_zone": lambda _: ZONE,
}
# What a list's query says besides filters.
_NO_FILTERS: Final = {"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "all_tenants", "with_count"}
_COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
    "eq": lambda left, right: left == right,
    "neq": lambda left, right: left != right,
}


def of_project(view: View, caller: Caller, *, everyones: bool = False) -> list[Volume]:
    """The volumes that Cinder shows: root disks and images' volumes are their servers' and images' own affair."""
    found = view.all(Volume) if everyones else view.find(Volume, "project_id", caller.project)
    return [volume for volume in found if volume.purpose is Purpose.DATA]


def matching(view: View, caller: Caller, query: Query, version: Version) -> list[Volume]:
    """The volumes that the query's filters leave. Raises `Invalid` for a query that can't be."""
    volumes = of_project(view, caller, everyones=inputs.everyones(caller, query))
    for word, value in query.items():
        if word in _NO_FILTERS:
            continue
        test = _test(view, word, value, caller, version)
        if test is not None:
            volumes = [volume for volume in volumes if test(volume)]
    return volumes


def _test(view: View, word: str, value: str, caller: Caller, version: Version) -> Callable[[Volume], bool] | None:
    """What a filter asks of a volume; None for a word that filters nothing, as Cinder ignores it."""
    if word in ("metadata", "glance_metadata"):
        wanted = inputs.pairs(value, word)
        if word == "metadata":
            return lambda volume: wanted.items() <= volume.metadata.items()
        return lambda volume: wanted.items() <= volume.image_metadata.items()
    if word in ("created_at", "updated_at") and version >= versions.TIME_FILTERS:
        return _times(word, value)
    facts: dict[str, Callable[[Volume], str]] = {
        "id": lambda volume: volume.id,
        "name": lambda volume: volume.name,
        "status": lambda volume: volume.status,
        "size": lambda volume: str(volume.gib),
        "bootable": bootable,
        "availability_zone": lambda _: ZONE,
        "volume_type": lambda volume: type_name(view, volume.type_id) or "",
        "multiattach": lambda volume: str(volume.multiattach),
        "group_id": lambda volume: volume.group_id or "",
        "description": lambda volume: volume.description,
    }
    if caller.is_admin:
        facts |= {
            "project_id": lambda volume: volume.project_id,
            "user_id": lambda volume: volume.user_id,
            "host": lambda volume: host_of(view, volume) or "",
        }
    like = word.endswith("~") and version >= versions.LIKE_FILTERS
    fact = facts.get(word.removesuffix("~") if like else word)
    if fact is None:
        return None
    if like:
        return lambda volume: value.lower() in fact(volume).lower()
    if word == "bootable":
        value = "true" if inputs.flag(value, word) else "false"
    return lambda volume: fact(volume).lower() == value.lower()


def _times(word: str, value: str) -> Callable[[Volume], bool]:
    """`created_at=gt:2026-01-02T03:04:05,lt:…`: every part must hold."""
    tests: list[tuple[Callable[[int, int], bool], int]] = []
    for part in value.split(","):
        operator, _, moment = part.strip().partition(":")
        if operator not in _COMPARISONS:
            operator, moment = "eq", part.strip()
        at_ms = parsed_ms(moment)
        if at_ms is None:
            raise Invalid(f"{word} must be times such as gt:2026-01-02T03:04:05, not {part[:64]}.")
        tests.append((_COMPARISONS[operator], at_ms))
    return lambda volume: all(
        test((volume.created_at_ms if word == "created_at" else volume.updated_at_ms) // 1000, at_ms // 1000)
        for test, at_ms in tests
    )


def with_count(query: Query, version: Version) -> bool:
    """Whether the list shall say how many volumes there are in all."""
    return version >= versions.COUNT and "with_count" in query and inputs.flag(query["with_count"], "with_count")
