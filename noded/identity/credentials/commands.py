"""Orders about credentials."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.store import Transaction
from noded.identity.attributes import changed, merged
from noded.identity.credentials.model import Credential
from noded.identity.model import Project, User


class CreateCredential(Command, frozen=True, kw_only=True, tag="credential.create.1"):
    """A user's new secret."""

    TOLD: ClassVar[str] = "created a credential of type {type} for user {user_id}"

    credential_id: str
    user_id: str
    type: str
    blob: str
    project_id: str | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        tx.need(User, self.user_id)
        if self.project_id is not None:
            tx.need(Project, self.project_id)
        if tx.get(Credential, self.credential_id) is not None:
            raise Conflict("Conflict occurred attempting to store credential - there is one with that access key.")
        tx.put(
            Credential(
                id=self.credential_id,
                user_id=self.user_id,
                type=self.type,
                blob=self.blob,
                project_id=self.project_id,
                extra=self.extra,
            )
        )


class UpdateCredential(Command, frozen=True, kw_only=True, tag="credential.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the credential {credential_id}"

    credential_id: str
    user_id: str | msgspec.UnsetType = msgspec.UNSET
    type: str | msgspec.UnsetType = msgspec.UNSET
    blob: str | msgspec.UnsetType = msgspec.UNSET
    project_id: str | msgspec.UnsetType | None = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = tx.need(Credential, self.credential_id)
        after = changed(before, self, merged(before.extra, self.extra))
        tx.need(User, after.user_id)
        if after.project_id is not None:
            tx.need(Project, after.project_id)
        tx.put(after)


class DeleteCredential(Command, frozen=True, kw_only=True, tag="credential.delete.1"):
    """The secret opens nothing any more."""

    TOLD: ClassVar[str] = "deleted the credential {credential_id}"

    FREES_ROOM: ClassVar[bool] = True

    credential_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(Credential, self.credential_id)
        tx.delete(Credential, self.credential_id)


def forget_user(tx: Transaction, user_id: str) -> None:
    """The user goes: so do their secrets."""
    _forget(tx, "user_id", user_id)


def forget_project(tx: Transaction, project_id: str) -> None:
    """The project goes: so do the secrets that open it."""
    _forget(tx, "project_id", project_id)


def _forget(tx: Transaction, field: str, value: str) -> None:
    for credential in tx.find(Credential, field, value):
        tx.delete(Credential, credential.id)
