"""What a project may use of block storage, what it uses, and what each resource was counted as."""

from typing import ClassVar, Final

import msgspec

from noded.core.ids import ProjectId
from noded.core.record import Record
from noded.core.store import View

UNLIMITED: Final = -1
LIMIT_MAX: Final = 2**31 - 1  # what the API takes as a limit
PER_VOLUME: Final = "per_volume_gigabytes"
# Wide on purpose: the pool itself is the limit until an operator says otherwise.
DEFAULTS: Final[dict[str, int]] = {
    "volumes": 10_000,
    "gigabytes": 1_000_000,
    "snapshots": 10_000,
    "backups": 10_000,
    "backup_gigabytes": 1_000_000,
    "groups": 1_000,
    PER_VOLUME: UNLIMITED,
}
PER_TYPE: Final = ("volumes", "gigabytes", "snapshots")  # counted a volume type too: `volumes_fast`
DEFAULT_CLASS: Final = "default"


class QuotaLimits(Record, frozen=True, kw_only=True, tag="quota_limits.1"):
    """The limits that were set: a project's under its id, those of everybody else under `class:default`."""

    NOUN: ClassVar[str] = "quota"

    limits: dict[str, int] = msgspec.field(default_factory=dict)


class QuotaUse(Record, frozen=True, kw_only=True, tag="quota_use.1"):
    """What one project uses, under its id: sums of its charges, so that no creation has to count them."""

    NOUN: ClassVar[str] = "quota"

    used: dict[str, int] = msgspec.field(default_factory=dict)  # `volumes`, and `volumes:TYPE_ID`


class Charge(Record, frozen=True, kw_only=True, tag="quota_charge.1"):
    """What one resource was counted as, under its id: what is given back is exactly that."""

    INDEXED: ClassVar[tuple[str, ...]] = ("type_id",)
    NOUN: ClassVar[str] = "quota"

    project_id: ProjectId
    amounts: dict[str, int]
    type_id: str = ""


def class_key(name: str) -> str:
    """Under which id a quota class is kept."""
    return f"class:{name}"


def class_limits(view: View, name: str = DEFAULT_CLASS) -> dict[str, int]:
    """The limits of a quota class; all but `default` are only kept, as in Cinder."""
    found = view.get(QuotaLimits, class_key(name))
    return DEFAULTS | (found.limits if found is not None else {})


def limits_of(view: View, project_id: str) -> dict[str, int]:
    """The limits that hold for a project."""
    found = view.get(QuotaLimits, project_id)
    return class_limits(view) | (found.limits if found is not None else {})


def used_by(view: View, project_id: str) -> dict[str, int]:
    """What a project uses."""
    found = view.get(QuotaUse, project_id)
    return dict(found.used) if found is not None else {}
