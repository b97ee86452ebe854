"""What a flavor is: a size that servers are made in. A server keeps a copy, so a deleted flavor harms none."""

from typing import ClassVar

import msgspec

from noded.core.ids import FlavorId, ProjectId
from noded.core.record import Record

SPECS_MAX = 128  # extra specs a flavor


class Flavor(Record, frozen=True, kw_only=True, tag="flavor.1"):
    """A size. Disks are in GiB, as the API says them; `root_gib` 0 means as large as the image."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name", "projects")
    NOUN: ClassVar[str] = "flavor"

    id: FlavorId
    name: str
    description: str | None = None
    vcpus: int
    memory_mib: int
    root_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    projects: tuple[ProjectId, ...] = ()  # who may use it when it is not public
    extra_specs: dict[str, str] = msgspec.field(default_factory=dict)

    def is_open_to(self, project_id: ProjectId | None) -> bool:
        """Whether that project may use it."""
        return self.is_public or project_id in self.projects
