"""How flavors come, change and go."""

from typing import ClassVar

import msgspec

from compute.flavors.model import SPECS_MAX, Flavor
from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, NotFound
from noded.core.ids import FlavorId, ProjectId
from noded.core.service import Founding
from noded.core.store import Transaction


class CreateFlavor(Command, frozen=True, kw_only=True, tag="flavor.create.1"):
    """Make a size available."""

    TOLD: ClassVar[str] = "created the flavor {name}"

    flavor_id: FlavorId
    name: str
    description: str | None = None
    vcpus: int
    memory_mib: int
    root_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True

    def apply(self, tx: Transaction) -> None:
        if tx.find(Flavor, "name", self.name):
            raise Conflict(f"Flavor with name {self.name} already exists.")
        if tx.get(Flavor, self.flavor_id) is not None:
            raise Conflict(f"Flavor with ID {self.flavor_id} already exists.")
        tx.put(
            Flavor(
                id=self.flavor_id,
                name=self.name,
                description=self.description,
                vcpus=self.vcpus,
                memory_mib=self.memory_mib,
                root_gib=self.root_gib,
                ephemeral_gib=self.ephemeral_gib,
                swap_mib=self.swap_mib,
                rxtx_factor=self.rxtx_factor,
                is_public=self.is_public,
            )
        )


class DescribeFlavor(Command, frozen=True, kw_only=True, tag="flavor.describe.1"):
    """Say in words what the size is for; None takes the words away."""

    TOLD: ClassVar[str] = "changed the description of flavor {flavor_id}"

    flavor_id: FlavorId
    description: str | None

    def apply(self, tx: Transaction) -> None:
        tx.put(msgspec.structs.replace(tx.need(Flavor, self.flavor_id), description=self.description))


class DeleteFlavor(Command, frozen=True, kw_only=True, tag="flavor.delete.1"):
    """Take the size away; servers made in it keep their copy."""

    TOLD: ClassVar[str] = "deleted the flavor {flavor_id}"

    FREES_ROOM: ClassVar[bool] = True

    flavor_id: FlavorId

    def apply(self, tx: Transaction) -> None:
        tx.need(Flavor, self.flavor_id)
        tx.delete(Flavor, self.flavor_id)


class SetFlavorSpecs(Command, frozen=True, kw_only=True, tag="flavor.set_specs.1"):
    """Add or change extra specs, and remove others."""

    TOLD: ClassVar[str] = "changed the extra specs of flavor {flavor_id}"

    flavor_id: FlavorId
    changed: dict[str, str] = msgspec.field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def apply(self, tx: Transaction) -> None:
        flavor = tx.need(Flavor, self.flavor_id)
        for key in self.removed:
            if key not in flavor.extra_specs:
                raise NotFound(f"Flavor {flavor.id} has no extra specs with key {key}.")
        specs = {key: value for key, value in flavor.extra_specs.items() if key not in self.removed} | self.changed
        if len(specs) > SPECS_MAX:
            raise Forbidden(f"A flavor has at most {SPECS_MAX} extra specs.")
        tx.put(msgspec.structs.replace(flavor, extra_specs=dict(sorted(specs.items()))))


class SetFlavorAccess(Command, frozen=True, kw_only=True, tag="flavor.set_access.1"):
    """Let one project use a flavor that is not public, or no longer."""

    TOLD: ClassVar[str] = "set access of project {project_id} to flavor {flavor_id} to {allowed}"

    flavor_id: FlavorId
    project_id: ProjectId
    allowed: bool

    def apply(self, tx: Transaction) -> None:
        flavor = tx.need(Flavor, self.flavor_id)
        if self.allowed and self.project_id in flavor.projects:
            raise Conflict(f"Flavor access already exists for flavor {flavor.id} and project {self.project_id}.")
        if not self.allowed and self.project_id not in flavor.projects:
            raise NotFound(f"Flavor access not found for {flavor.id} / {self.project_id} combination.")
        others = {project for project in flavor.projects if project != self.project_id}
        projects = others | {self.project_id} if self.allowed else others
        tx.put(msgspec.structs.replace(flavor, projects=tuple(sorted(projects))))


def first_flavors(founding: Founding) -> list[Command]:  # noqa: ARG001  # sizes are alike in every new cluster
    """What a new cluster offers at once: from a small test guest to a large one."""
    sizes = (
        ("1", "m1.nano", 1, 128, 1),
        ("2", "m1.tiny", 1, 512, 1),
        ("3", "m1.small", 1, 2048, 20),
        ("4", "m1.medium", 2, 4096, 40),
        ("5", "m1.large", 4, 8192, 80),
        ("6", "m1.xlarge", 8, 16384, 160),
    )
    return [
        CreateFlavor(flavor_id=FlavorId(id), name=name, vcpus=vcpus, memory_mib=memory_mib, root_gib=root_gib)
        for id, name, vcpus, memory_mib, root_gib in sizes
    ]
