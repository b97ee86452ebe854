"""What a quality of service is: how much I/O the volumes of a type may do, and who sees to it."""

from typing import ClassVar, Final

import msgspec

from noded.core.record import Record
from noded.core.store import View
from storage.types.model import VolumeType, get_type

CONSUMERS: Final = ("front-end", "back-end", "both")
# What the hypervisor understands, bytes and operations a second; `_per_gb` ones are multiplied by the volume's size.
LIMIT_KEYS: Final = tuple(
    f"{direction}_{what}_sec{longest}"
    for direction in ("total", "read", "write")
    for what in ("bytes", "iops")
    for longest in ("", "_max", "_per_gb")
)
SIZE_KEYS: Final = ("size_iops_sec",)


class QosSpecs(Record, frozen=True, kw_only=True, tag="qos_specs.1"):
    """A named set of limits, which volume types refer to."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name",)
    NOUN: ClassVar[str] = "QoS specs"

    name: str
    consumer: str = "back-end"
    specs: dict[str, str] = msgspec.field(default_factory=dict)
    created_at_ms: int = 0


def types_with(view: View, qos_id: str) -> list[VolumeType]:
    """The volume types that have this quality of service."""
    return view.find(VolumeType, "qos_id", qos_id)


def guest_limits(view: View, type_id: str, gib: int) -> dict[str, int]:
    """The limits of a guest's disk of that type and size, by the words of libvirt's `iotune`; empty: none.

    A limit a GB times the size holds where it was set; a fixed one of the same name is then a ceiling over it, as in
    Cinder. Specs for the back end hold too: here both are the volume server's one client, the guest.
    """
    kind = get_type(view, type_id)
    qos = view.get(QosSpecs, kind.qos_id) if kind is not None and kind.qos_id is not None else None
    if qos is None:
        return {}
    limits: dict[str, int] = {}
    for key, value in qos.specs.items():
        if key.endswith("_per_gb") and key in LIMIT_KEYS:
            scaled = int(value) * max(1, gib)
            fixed = qos.specs.get(key.removesuffix("_per_gb"))
            limits[key.removesuffix("_per_gb")] = min(scaled, int(fixed)) if fixed is not None else scaled
        elif key in (*LIMIT_KEYS, *SIZE_KEYS) and f"{key}_per_gb" not in qos.specs:
            limits[key] = int(value)
    return {key: limit for key, limit in sorted(limits.items()) if limit > 0 and _has_base(key, limits)}


def _has_base(key: str, limits: dict[str, int]) -> bool:
    """A burst, or the size of one operation, means something only over a limit; alone no hypervisor takes it."""
    if key.endswith("_max"):
        return 0 < limits.get(key.removesuffix("_max"), 0) <= limits[key]
    return key not in SIZE_KEYS or any(limits.get(f"{each}_iops_sec") for each in ("total", "read", "write"))
