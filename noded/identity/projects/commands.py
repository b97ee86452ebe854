"""Orders about projects."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, Invalid
from noded.core.ids import DomainId, ProjectId
from noded.core.store import Transaction, View
from noded.identity.attributes import changed, expect_mutable, merged
from noded.identity.model import Domain, Project
from noded.identity.removal import remove_project
from noded.identity.standing import below_project, parents_of

DEPTH_MAX = 5  # as Keystone's default for nested projects


class CreateProject(Command, frozen=True, kw_only=True, tag="project.create.1"):
    """A new owner of resources."""

    TOLD: ClassVar[str] = "created the project {name}"

    project_id: ProjectId
    domain_id: DomainId
    parent_id: ProjectId | None = None
    name: str
    description: str = ""
    enabled: bool = True
    tags: tuple[str, ...] = ()
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        tx.need(Domain, self.domain_id)
        _expect_free(tx, self.name, self.domain_id, self.project_id)
        if self.parent_id is not None:
            _expect_parent(tx, self.parent_id, self.domain_id)
        tx.put(
            Project(
                id=self.project_id,
                domain_id=self.domain_id,
                parent_id=self.parent_id,
                name=self.name,
                description=self.description,
                enabled=self.enabled,
                tags=self.tags,
                extra=self.extra,
                options=merged({}, self.options),
            )
        )


class UpdateProject(Command, frozen=True, kw_only=True, tag="project.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the project {project_id}"

    project_id: ProjectId
    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    tags: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = tx.need(Project, self.project_id)
        expect_mutable(before, before.options, self, self.extra)
        after = changed(before, self, merged(before.extra, self.extra))
        after = msgspec.structs.replace(after, options=merged(before.options, self.options))
        _expect_free(tx, after.name, after.domain_id, self.project_id)
        if after.enabled and not before.enabled:
            _expect_enabled_above(tx, before)
        elif before.enabled and not after.enabled and any(each.enabled for each in below_project(tx, before.id)):
            raise Forbidden(
                f"Cannot disable project {self.project_id} since its subtree contains enabled projects:"
                " disable those first."
            )
        tx.put(after)


class DeleteProject(Command, frozen=True, kw_only=True, tag="project.delete.1"):
    """The project goes with all role assignments for it. What it owned stays, for the administrator to take away."""

    TOLD: ClassVar[str] = "deleted the project {project_id}"

    FREES_ROOM: ClassVar[bool] = True

    project_id: ProjectId

    def apply(self, tx: Transaction) -> None:
        project = tx.need(Project, self.project_id)
        expect_mutable(project, project.options, None, {})
        if tx.find(Project, "parent_id", self.project_id):
            raise Forbidden(
                f"Cannot delete the project {self.project_id} since it is not a leaf in the hierarchy: delete the"
                " projects below it first."
            )
        remove_project(tx, project)


def _expect_free(view: View, name: str, domain_id: str, project_id: str) -> None:
    taken = (other for other in view.find(Project, "name", name) if other.domain_id == domain_id)
    if any(other.id != project_id for other in taken):
        raise Conflict(
            "Conflict occurred attempting to store project - it is not permitted to have two projects with the same"
            f" name in the same domain : {name}."
        )


def _expect_parent(view: View, parent_id: ProjectId, domain_id: str) -> None:
    parent = view.need(Project, parent_id)
    line = [parent, *parents_of(view, parent)]
    if any(above.domain_id != domain_id for above in line):
        raise Invalid("A project and the project above it must be in the same domain.")
    disabled = next((above.id for above in line if not above.enabled), None)
    if disabled is not None:
        raise Invalid(f"Cannot create a project in a branch containing a disabled project: {disabled}.")
    if len(line) >= DEPTH_MAX:
        raise Forbidden(f"Max hierarchy depth reached for {parent_id} branch: projects nest {DEPTH_MAX} deep.")


def _expect_enabled_above(view: View, project: Project) -> None:
    if not all(above.enabled for above in parents_of(view, project)):
        raise Forbidden(f"Cannot enable project {project.id} since it has disabled parents: enable those first.")
