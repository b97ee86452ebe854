"""Orders about which endpoints a project sees."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import NotFound
from noded.core.store import Transaction
from noded.identity.model import Project
from noded.identity.places import EndpointGroup, EndpointLink, link_id


class CreateEndpointGroup(Command, frozen=True, kw_only=True, tag="endpoint_group.create.1"):
    """Endpoints get a name by what they have in common."""

    TOLD: ClassVar[str] = "created the endpoint group {name}"

    group_id: str
    name: str
    description: str | None = None
    filters: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        tx.put(EndpointGroup(id=self.group_id, name=self.name, description=self.description, filters=self.filters))


class UpdateEndpointGroup(Command, frozen=True, kw_only=True, tag="endpoint_group.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the endpoint group {group_id}"

    group_id: str
    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    filters: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET

    def apply(self, tx: Transaction) -> None:
        before = tx.need(EndpointGroup, self.group_id)
        tx.put(
            EndpointGroup(
                id=before.id,
                name=before.name if self.name is msgspec.UNSET else self.name,
                description=before.description if self.description is msgspec.UNSET else self.description,
                filters=before.filters if self.filters is msgspec.UNSET else self.filters,
            )
        )


class DeleteEndpointGroup(Command, frozen=True, kw_only=True, tag="endpoint_group.delete.1"):
    """The group goes; projects that had it lose what it gave them."""

    TOLD: ClassVar[str] = "deleted the endpoint group {group_id}"

    FREES_ROOM: ClassVar[bool] = True

    group_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(EndpointGroup, self.group_id)
        _forget(tx, "group_id", self.group_id)
        tx.delete(EndpointGroup, self.group_id)


class LinkEndpoint(Command, frozen=True, kw_only=True, tag="endpoint_link.create.1"):
    """The project sees that endpoint, or all of that group. Doing it twice changes nothing."""

    TOLD: ClassVar[str] = "let the project {project_id} see the endpoint or group {target_id}"

    project_id: str
    target_id: str
    is_group: bool = False

    def apply(self, tx: Transaction) -> None:
        tx.need(Project, self.project_id)
        if self.is_group:
            tx.need(EndpointGroup, self.target_id)
        tx.put(
            EndpointLink(
                id=link_id(self.project_id, self.target_id),
                project_id=self.project_id,
                endpoint_id=None if self.is_group else self.target_id,
                group_id=self.target_id if self.is_group else None,
            )
        )


class UnlinkEndpoint(Command, frozen=True, kw_only=True, tag="endpoint_link.delete.1"):
    """The project was given that no longer. One that has nothing left sees everything again."""

    TOLD: ClassVar[str] = "no longer lets the project {project_id} see the endpoint or group {target_id} by itself"

    FREES_ROOM: ClassVar[bool] = True

    project_id: str
    target_id: str

    def apply(self, tx: Transaction) -> None:
        if tx.get(EndpointLink, link_id(self.project_id, self.target_id)) is None:
            raise NotFound(f"Endpoint {self.target_id} not found in project {self.project_id}.")
        tx.delete(EndpointLink, link_id(self.project_id, self.target_id))


def forget_endpoint(tx: Transaction, endpoint_id: str) -> None:
    """The endpoint goes: no project is given it any more."""
    _forget(tx, "endpoint_id", endpoint_id)


def forget_project(tx: Transaction, project_id: str) -> None:
    """The project goes: so does what it was given."""
    _forget(tx, "project_id", project_id)


def _forget(tx: Transaction, field: str, value: str) -> None:
    for link in tx.find(EndpointLink, field, value):
        tx.delete(EndpointLink, link.id)
