"""How volume types come, change and go."""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.ids import ProjectId
from noded.core.store import Transaction
from storage.quotas.commands import rename_type_limits
from storage.quotas.model import Charge
from storage.types.model import (
    DEFAULT_TYPE_ID,
    REPLICAS_SPEC,
    REPLICAS_WANTED,
    SPECS_MAX,
    Encryption,
    ProjectType,
    VolumeType,
    get_type,
    type_named,
)


def need_type(tx: Transaction, type_id: str) -> VolumeType:
    """The type of that id; raises `NotFound` in Cinder's words."""
    found = get_type(tx, type_id)
    if found is None:
        raise NotFound(f"Volume type {type_id[:255]} could not be found.")
    return found


def set_type_qos(tx: Transaction, type_id: str, qos_id: str | None) -> None:
    """The type's volumes have that quality of service from now on; None: no limits."""
    tx.put(replace(need_type(tx, type_id), qos_id=qos_id))


def need_type_for_new(tx: Transaction, type_id: str) -> VolumeType:
    """The type of a volume that is made without a key. Raises `Invalid` for a type of encrypted ones."""
    kind = need_type(tx, type_id)
    if kind.encryption is not None:
        raise Invalid(
            f"Volume type {kind.name} asks for encrypted volumes. A volume is encrypted from the moment it is made,"
            " empty or from an image, by POST /volumes: nothing that is there already becomes encrypted."
        )
    return kind


def check_specs(specs: dict[str, str]) -> None:
    """Refuse extra specs that mean something here and can't be."""
    if len(specs) > SPECS_MAX:
        raise Invalid(f"A volume type has at most {SPECS_MAX} extra specs.")
    replicas = specs.get(REPLICAS_SPEC)
    if replicas is not None and replicas not in {str(count) for count in range(1, REPLICAS_WANTED + 1)}:
        raise Invalid(f"Extra spec {REPLICAS_SPEC} must be from 1 to {REPLICAS_WANTED}, not {replicas[:64]}.")


class CreateType(Command, frozen=True, kw_only=True, tag="volume_type.create.1"):
    """A new kind of volumes."""

    TOLD: ClassVar[str] = "created the volume type {name}"

    type_id: str
    name: str
    description: str | None = None
    is_public: bool = True
    extra_specs: dict[str, str] = msgspec.field(default_factory=dict)
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        _check_name(tx, self.name, self.type_id)
        check_specs(self.extra_specs)
        tx.put(
            VolumeType(
                id=self.type_id,
                name=self.name,
                description=self.description,
                is_public=self.is_public,
                extra_specs=self.extra_specs,
                created_at_ms=self.now_ms,
                updated_at_ms=self.now_ms,
            )
        )


class ChangeType(Command, frozen=True, kw_only=True, tag="volume_type.change.1"):
    """New words on a type, or another public; None leaves a field as it is."""

    TOLD: ClassVar[str] = "changed the volume type {type_id}"

    type_id: str
    name: str | None = None
    description: str | None = None
    is_public: bool | None = None
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        kind = need_type(tx, self.type_id)
        name = kind.name if self.name is None else self.name
        if name != kind.name:
            _check_name(tx, name, kind.id)
            rename_type_limits(tx, kind.name, name)
        tx.put(
            replace(
                kind,
                name=name,
                description=kind.description if self.description is None else self.description,
                is_public=kind.is_public if self.is_public is None else self.is_public,
                updated_at_ms=self.now_ms,
            )
        )


class DeleteType(Command, frozen=True, kw_only=True, tag="volume_type.delete.1"):
    """The kind is no longer there. Not while volumes are of it."""

    TOLD: ClassVar[str] = "deleted the volume type {type_id}"

    FREES_ROOM: ClassVar[bool] = True

    type_id: str

    def apply(self, tx: Transaction) -> None:
        kind = need_type(tx, self.type_id)
        if kind.id == DEFAULT_TYPE_ID:
            raise Invalid(f"The volume type {kind.name} is the default volume type and cannot be deleted.")
        if tx.find(Charge, "type_id", kind.id):
            raise Invalid(f"Target volume type is still in use: volumes of {kind.name} are there. Delete them first.")
        for default in tx.find(ProjectType, "type_id", kind.id):
            raise Invalid(
                f"The volume type {kind.name} is the default volume type of project {default.id} and cannot be deleted."
            )
        tx.delete(VolumeType, kind.id)


class SetTypeSpecs(Command, frozen=True, kw_only=True, tag="volume_type.set_specs.1"):
    """Add or change extra specs, and remove others."""

    TOLD: ClassVar[str] = "changed the extra specs of volume type {type_id}"

    type_id: str
    changed: dict[str, str] = msgspec.field(default_factory=dict)
    removed: tuple[str, ...] = ()
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        kind = need_type(tx, self.type_id)
        for key in self.removed:
            if key not in kind.extra_specs:
                raise NotFound(f"Volume Type {kind.id} has no extra specs with key {key[:255]}.")
        specs = {key: value for key, value in kind.extra_specs.items() if key not in self.removed} | self.changed
        check_specs(specs)
        tx.put(replace(kind, extra_specs=specs, updated_at_ms=self.now_ms))


class SetTypeAccess(Command, frozen=True, kw_only=True, tag="volume_type.set_access.1"):
    """A project may use a type that is not public, or no longer."""

    TOLD: ClassVar[str] = "changed who may use volume type {type_id}"

    type_id: str
    project_id: ProjectId
    allowed: bool

    def apply(self, tx: Transaction) -> None:
        kind = need_type(tx, self.type_id)
        if kind.is_public and self.allowed:
            raise Invalid("Type access modification is not applicable to public volume type.", code="PublicType")
        if self.allowed and self.project_id in kind.projects:
            raise Conflict(f"Volume type access for {kind.id} / {self.project_id} combination already exists.")
        if not self.allowed and self.project_id not in kind.projects:
            raise NotFound(f"Volume type access not found for {kind.id} / {self.project_id} combination.")
        others = {project for project in kind.projects if project != self.project_id}
        tx.put(replace(kind, projects=tuple(sorted(others | ({self.project_id} if self.allowed else set())))))


class SetTypeEncryption(Command, frozen=True, kw_only=True, tag="volume_type.set_encryption.1"):
    """How volumes of the type are encrypted from now on; None: not at all."""

    TOLD: ClassVar[str] = "changed the encryption of volume type {type_id}"

    type_id: str
    encryption: Encryption | None

    def apply(self, tx: Transaction) -> None:
        kind = need_type(tx, self.type_id)
        if tx.find(Charge, "type_id", kind.id):
            raise Invalid(f"Cannot change encryption: volumes of type {kind.name} are there.")
        tx.put(replace(kind, encryption=self.encryption))


class SetProjectType(Command, frozen=True, kw_only=True, tag="volume_type_default.set.1"):
    """The type that a project's volumes have when they name none; None: the cluster's default."""

    TOLD: ClassVar[str] = "set the default volume type of project {project_id}"

    project_id: ProjectId
    type_id: str | None

    def apply(self, tx: Transaction) -> None:
        if self.type_id is not None:
            tx.put(ProjectType(id=self.project_id, type_id=need_type(tx, self.type_id).id))
        elif tx.get(ProjectType, self.project_id) is None:
            raise NotFound(f"Default type for project {self.project_id} not found.")
        else:
            tx.delete(ProjectType, self.project_id)


def _check_name(tx: Transaction, name: str, type_id: str) -> None:
    known = type_named(tx, name)
    if known is not None and known.id != type_id:
        raise Conflict(f"Volume Type {name} already exists.")
