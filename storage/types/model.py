"""What a volume type is: how many replicas, who may use it, which quality of service, whether it is encrypted."""

import re
from typing import ClassVar, Final

import msgspec

from noded.core.ids import ProjectId
from noded.core.record import Record
from noded.core.store import View
from storage.endpoint import BACKEND, PROTOCOLS, VENDOR

# The type of volumes that name none. Its id is the same in every cluster; it is there before anybody made a type.
DEFAULT_TYPE_ID: Final = "6e2f6c5e-6f7d-5c4b-9a53-1d0b7a3c9e01"
DEFAULT_TYPE_NAME: Final = "__DEFAULT__"
SPECS_MAX: Final = 128
REPLICAS_SPEC: Final = "replicas"
MULTIATTACH_SPEC: Final = "multiattach"
REPLICAS_WANTED: Final = 3


class Encryption(msgspec.Struct, frozen=True, kw_only=True):
    """How volumes of a type are encrypted."""

    encryption_id: str
    provider: str
    control_location: str  # "front-end": by QEMU; "back-end"
    cipher: str | None = None
    key_bits: int | None = None
    created_at_ms: int


class VolumeType(Record, frozen=True, kw_only=True, tag="volume_type.1"):
    """A kind of volumes. Volumes keep the type's id; what it promises holds for volumes made from then on."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name", "qos_id")
    NOUN: ClassVar[str] = "volume type"

    name: str
    description: str | None = None
    is_public: bool = True
    projects: tuple[ProjectId, ...] = ()  # who may use it although it is not public
    extra_specs: dict[str, str] = msgspec.field(default_factory=dict)
    qos_id: str | None = None
    encryption: Encryption | None = None
    created_at_ms: int = 0
    updated_at_ms: int = 0

    @property
    def replicas(self) -> int:
        """On how many nodes each extent of its volumes is kept."""
        return int(self.extra_specs.get(REPLICAS_SPEC, REPLICAS_WANTED))

    @property
    def multiattach(self) -> bool:
        """Whether several servers may have one volume of it at once."""
        return self.extra_specs.get(MULTIATTACH_SPEC, "").replace(" ", "").lower() == "<is>true"

    def is_open_to(self, project_id: ProjectId | None) -> bool:
        """Whether the project may use it."""
        return self.is_public or project_id in self.projects


def unmet(kind: VolumeType) -> str | None:
    """The extra spec that nothing here can meet, if there is one: then volumes of the type can't be made."""
    can = {"storage_protocol": PROTOCOLS, "vendor_name": (VENDOR.lower(),), "volume_backend_name": (BACKEND.lower(),)}
    for key, wanted in sorted(kind.extra_specs.items()):
        known = can.get(key.removeprefix("capabilities:"))
        if known is not None and not set(known) & _words(wanted):
            return f"{key}={wanted}"
    return None


def _words(wanted: str) -> set[str]:
    """What is asked for, without the operators that may stand before each word."""
    words = re.split(r"<or>|<in>|s==|=", wanted.lower())
    return {word.strip() for word in words if word.strip()}


class ProjectType(Record, frozen=True, kw_only=True, tag="volume_type_default.1"):
    """The type that a project's volumes have when they name none, under the project's id."""

    INDEXED: ClassVar[tuple[str, ...]] = ("type_id",)
    NOUN: ClassVar[str] = "default volume type"

    type_id: str


_BUILT_IN: Final = VolumeType(
    id=DEFAULT_TYPE_ID,
    name=DEFAULT_TYPE_NAME,
    description="Kept on three nodes, or on as many as there are; a write counts once it is on all of them.",
)


def get_type(view: View, type_id: str) -> VolumeType | None:
    """The type of that id; the empty id is the default's."""
    found = view.get(VolumeType, type_id or DEFAULT_TYPE_ID)
    return _BUILT_IN if found is None and type_id in ("", DEFAULT_TYPE_ID) else found


def all_types(view: View) -> list[VolumeType]:
    """Every type, the built-in one too."""
    types = view.all(VolumeType)
    if any(kind.id == DEFAULT_TYPE_ID for kind in types):
        return types
    return sorted([*types, _BUILT_IN], key=lambda kind: kind.id)


def type_named(view: View, name: str) -> VolumeType | None:
    """The type of that name."""
    return next((kind for kind in all_types(view) if kind.name == name), None)


def default_type(view: View, project_id: str) -> VolumeType:
    """The type of a volume that names none."""
    own = view.get(ProjectType, project_id)
    found = get_type(view, own.type_id) if own is not None else None
    return found or view.get(VolumeType, DEFAULT_TYPE_ID) or _BUILT_IN


def type_name(view: View, type_id: str) -> str | None:
    """What the type is called now."""
    found = get_type(view, type_id)
    return found.name if found is not None else None
