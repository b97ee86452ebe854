"""Orders about application credentials and access rules. A secret comes as its hash."""

from typing import ClassVar, Final

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, Invalid, OverQuota
from noded.core.store import Transaction
from noded.identity.delegations import ApplicationCredential, StoredRule
from noded.identity.model import Project, Scope, User
from noded.identity.standing import roles_of

PER_USER_MAX: Final = 1000


class CreateApplicationCredential(Command, frozen=True, kw_only=True, tag="application_credential.create.1"):
    """A user lets a program in. `rules`: equal ones that the user has already are taken instead of new ones."""

    TOLD: ClassVar[str] = "created the application credential {name} of user {user_id}"

    credential_id: str
    user_id: str
    project_id: str
    name: str
    secret_hash: str
    role_ids: tuple[str, ...]
    description: str | None = None
    expires_us: int | None = None
    unrestricted: bool = False
    rules: tuple[StoredRule, ...] = ()

    def apply(self, tx: Transaction) -> None:
        tx.need(User, self.user_id)
        tx.need(Project, self.project_id)
        held = {role.id for role in roles_of(tx, self.user_id, Scope.PROJECT, self.project_id)}
        if not self.role_ids or not held.issuperset(self.role_ids):
            raise Invalid(
                "Invalid application credential: Cannot create an application credential with unassigned role."
            )
        others = tx.find(ApplicationCredential, "user_id", self.user_id)
        if any(other.name == self.name for other in others):
            raise Conflict(
                "Conflict occurred attempting to store application_credential - Duplicate entry found with name"
                f" {self.name}."
            )
        if len(others) >= PER_USER_MAX:
            raise OverQuota(f"Unable to create additional application credentials: a user has at most {PER_USER_MAX}.")
        tx.put(
            ApplicationCredential(
                id=self.credential_id,
                user_id=self.user_id,
                project_id=self.project_id,
                name=self.name,
                secret_hash=self.secret_hash,
                role_ids=self.role_ids,
                description=self.description,
                expires_us=self.expires_us,
                unrestricted=self.unrestricted,
                rule_ids=tuple(dict.fromkeys(_keep(tx, rule) for rule in self.rules)),
            )
        )


class DeleteApplicationCredential(Command, frozen=True, kw_only=True, tag="application_credential.delete.1"):
    """The program is let in no more, and its tokens end. The rules stay its user's."""

    TOLD: ClassVar[str] = "deleted the application credential {credential_id}"

    FREES_ROOM: ClassVar[bool] = True

    credential_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(ApplicationCredential, self.credential_id)
        tx.delete(ApplicationCredential, self.credential_id)


class DeleteAccessRule(Command, frozen=True, kw_only=True, tag="access_rule.delete.1"):
    """The rule goes; no credential may have it."""

    TOLD: ClassVar[str] = "deleted the access rule {rule_id}"

    FREES_ROOM: ClassVar[bool] = True

    rule_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(StoredRule, self.rule_id)
        if tx.find(ApplicationCredential, "rule_ids", self.rule_id):
            raise Forbidden(
                f"You are not authorized to perform the requested action: access rule {self.rule_id} is used by an"
                " application credential. Delete that first."
            )
        tx.delete(StoredRule, self.rule_id)


def forget_user(tx: Transaction, user_id: str) -> None:
    """The user goes: so do their application credentials and access rules."""
    _forget(tx, "user_id", user_id)
    for rule in tx.find(StoredRule, "user_id", user_id):
        tx.delete(StoredRule, rule.id)


def forget_project(tx: Transaction, project_id: str) -> None:
    """The project goes: so does what opened it."""
    _forget(tx, "project_id", project_id)


def forget_role(tx: Transaction, role_id: str) -> None:
    """The role goes: credentials have the others; one that has no role left goes."""
    for credential in tx.find(ApplicationCredential, "role_ids", role_id):
        rest = tuple(each for each in credential.role_ids if each != role_id)
        if rest:
            tx.put(msgspec.structs.replace(credential, role_ids=rest))
        else:
            tx.delete(ApplicationCredential, credential.id)


def _forget(tx: Transaction, field: str, value: str) -> None:
    for credential in tx.find(ApplicationCredential, field, value):
        tx.delete(ApplicationCredential, credential.id)


def _keep(tx: Transaction, rule: StoredRule) -> str:
    """The id of the rule: a new one, or that of an equal one which the user has."""
    for each in tx.find(StoredRule, "user_id", rule.user_id):
        if (each.service, each.verb, each.path) == (rule.service, rule.verb, rule.path):
            return each.id
    tx.put(rule)
    return rule.id
