"""Orders about users. A password comes as its hash; in plain it never leaves the handler."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import DomainId, ProjectId, UserId
from noded.core.store import Transaction, View
from noded.identity.application_credentials.commands import forget_user as forget_application_credentials
from noded.identity.attributes import changed, merged
from noded.identity.credentials.commands import forget_user as forget_credentials
from noded.identity.grants.commands import forget_actor
from noded.identity.model import Domain, FederatedIdentity, Membership, User
from noded.identity.oauth1.commands import forget_user as forget_oauth
from noded.identity.providers import Protocol, protocol_key
from noded.identity.sign_in_rules.model import DAY_MS, expires_ms, rules_of
from noded.identity.trusts.commands import forget_user as forget_trusts


class CreateUser(Command, frozen=True, kw_only=True, tag="user.create.1"):
    """Someone who may sign in, if a password is given."""

    TOLD: ClassVar[str] = "created the user {name}"

    user_id: UserId
    domain_id: DomainId
    name: str
    password_hash: str | None = None
    enabled: bool = True
    description: str = ""
    email: str | None = None
    default_project_id: ProjectId | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    now_ms: int = 0
    federated: tuple[FederatedIdentity, ...] = ()

    def apply(self, tx: Transaction) -> None:
        tx.need(Domain, self.domain_id)
        for each in self.federated:
            _expect_provider(tx, each)
        _expect_free(tx, self.name, self.domain_id, self.user_id)
        tx.put(
            User(
                id=self.user_id,
                domain_id=self.domain_id,
                name=self.name,
                password_hash=self.password_hash,
                enabled=self.enabled,
                description=self.description,
                email=self.email,
                default_project_id=self.default_project_id,
                extra=self.extra,
                options=merged({}, self.options),
                federated=self.federated,
                last_active_day=self.now_ms // DAY_MS,
                password_set_ms=self.now_ms,
                password_expires_ms=None
                if self.password_hash is None
                else expires_ms(rules_of(tx), self.options, self.now_ms, is_own=False),
            )
        )


class UpdateUser(Command, frozen=True, kw_only=True, tag="user.update.1"):
    """What shall be different. Disabling the user ends their tokens for good; enabling them unlocks them."""

    TOLD: ClassVar[str] = "changed the user {user_id}"

    user_id: UserId
    name: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType | None = msgspec.UNSET
    default_project_id: ProjectId | msgspec.UnsetType | None = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = tx.need(User, self.user_id)
        after = changed(before, self, merged(before.extra, self.extra))
        after = msgspec.structs.replace(after, options=merged(before.options, self.options))
        _expect_free(tx, after.name, after.domain_id, self.user_id)
        if before.enabled and not after.enabled:
            after = msgspec.structs.replace(after, password_generation=before.password_generation + 1)
        elif after.enabled and not before.enabled:
            after = msgspec.structs.replace(after, locked_until_ms=0)
        if self.enabled is True:
            after = msgspec.structs.replace(after, last_active_day=0)
        tx.put(after)


class SetPassword(Command, frozen=True, kw_only=True, tag="user.set_password.1"):
    """A new password: all tokens made before end, and so does a lock.

    `known_generation`: the generation whose password the user proved to know; None when an administrator sets it.
    """

    TOLD: ClassVar[str] = "changed the password of user {user_id}"

    user_id: UserId
    password_hash: str
    known_generation: int | None = None
    now_ms: int = 0

    def apply(self, tx: Transaction) -> None:
        before = tx.need(User, self.user_id)
        if self.known_generation not in (None, before.password_generation):
            raise Conflict("The password was changed by someone else at the same moment.")
        rules = rules_of(tx)
        last = (() if before.password_hash is None else (before.password_hash,)) + before.past_hashes
        is_own = self.known_generation is not None
        tx.put(
            msgspec.structs.replace(
                before,
                password_hash=self.password_hash,
                password_generation=before.password_generation + 1,
                locked_until_ms=0,
                past_hashes=last[: max(0, rules.unique_last_passwords - 1)],
                password_set_ms=self.now_ms,
                password_expires_ms=expires_ms(rules, before.options, self.now_ms, is_own=is_own),
            )
        )


class NoteActive(Command, frozen=True, kw_only=True, tag="user.active.1"):
    """The user signed in on that day."""

    TOLD: ClassVar[str] = "noted that user {user_id} signed in"

    user_id: UserId
    day: int

    def apply(self, tx: Transaction) -> None:
        before = tx.need(User, self.user_id)
        tx.put(msgspec.structs.replace(before, last_active_day=max(before.last_active_day, self.day)))


class RehashPassword(Command, frozen=True, kw_only=True, tag="user.rehash.1"):
    """The same password by a better hash. Nothing ends; if the password was changed meanwhile, nothing happens.

    `of_generation`: whose password was hashed.
    """

    TOLD: ClassVar[str] = "hashed the password of user {user_id} anew"

    user_id: UserId
    password_hash: str
    of_generation: int

    def apply(self, tx: Transaction) -> None:
        before = tx.need(User, self.user_id)
        if before.password_generation == self.of_generation:
            tx.put(msgspec.structs.replace(before, password_hash=self.password_hash))


class DeleteUser(Command, frozen=True, kw_only=True, tag="user.delete.1"):
    """The user goes, with all their assignments and tokens."""

    TOLD: ClassVar[str] = "deleted the user {user_id}"

    FREES_ROOM: ClassVar[bool] = True

    user_id: UserId

    def apply(self, tx: Transaction) -> None:
        remove_user(tx, tx.need(User, self.user_id))


def remove_user(tx: Transaction, user: User) -> None:
    """The user, and everything in identity that is theirs."""
    forget_actor(tx, user.id)
    forget_credentials(tx, user.id)
    forget_application_credentials(tx, user.id)
    forget_trusts(tx, user.id)
    forget_oauth(tx, user.id)
    for membership in tx.find(Membership, "user_id", user.id):
        tx.delete(Membership, membership.id)
    tx.delete(User, user.id)


def _expect_provider(view: View, identity: FederatedIdentity) -> None:
    if view.get(Protocol, protocol_key(identity.provider_id, identity.protocol)) is None:
        raise Invalid(f"No protocol {identity.protocol} of an identity provider {identity.provider_id} is known.")
    if view.find(User, "federated_keys", identity.key):
        raise Conflict(f"Conflict occurred attempting to store user - {identity.unique_id} is somebody already.")


def _expect_free(view: View, name: str, domain_id: str, user_id: str) -> None:
    # Whom identity providers vouch for may be called as they like: nobody signs in by that name.
    namesakes = view.find(User, "name", name)
    taken = (other for other in namesakes if other.domain_id == domain_id and not other.federated)
    if any(other.id != user_id for other in taken):
        raise Conflict(
            "Conflict occurred attempting to store user - it is not permitted to have two users with the same name"
            f" in the same domain : {name}."
        )
