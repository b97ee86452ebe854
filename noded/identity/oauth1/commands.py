"""Orders about consumers and their tokens."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import NotFound, Unauthenticated
from noded.core.store import Transaction
from noded.identity.attributes import merged
from noded.identity.delegations import AccessToken
from noded.identity.model import Project, Scope
from noded.identity.oauth1.model import Consumer, RequestToken
from noded.identity.standing import roles_of


class CreateConsumer(Command, frozen=True, kw_only=True, tag="oauth_consumer.create.1"):
    """A program of a third party is known from now on."""

    TOLD: ClassVar[str] = "created the OAuth consumer {consumer_id}"

    consumer_id: str
    secret: str
    description: str | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        tx.put(Consumer(id=self.consumer_id, secret=self.secret, description=self.description, extra=self.extra))


class UpdateConsumer(Command, frozen=True, kw_only=True, tag="oauth_consumer.update.1"):
    """What shall be different from now on; its secret never is."""

    TOLD: ClassVar[str] = "changed the OAuth consumer {consumer_id}"

    consumer_id: str
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = tx.need(Consumer, self.consumer_id)
        after = msgspec.structs.replace(before, extra=merged(before.extra, self.extra))
        if self.description is not msgspec.UNSET:
            after = msgspec.structs.replace(after, description=self.description)
        tx.put(after)


class DeleteConsumer(Command, frozen=True, kw_only=True, tag="oauth_consumer.delete.1"):
    """The program is known no more; what it was authorized to do ends."""

    TOLD: ClassVar[str] = "deleted the OAuth consumer {consumer_id}"

    FREES_ROOM: ClassVar[bool] = True

    consumer_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(Consumer, self.consumer_id)
        _forget(tx, "consumer_id", self.consumer_id)
        tx.delete(Consumer, self.consumer_id)


class CreateRequestToken(Command, frozen=True, kw_only=True, tag="oauth_request.create.1"):
    """A consumer asks for a project. Requests that nobody answered in time are forgotten on the way."""

    TOLD: ClassVar[str] = "asked for project {project_id} as the OAuth consumer {consumer_id}"

    request_id: str
    consumer_id: str
    project_id: str
    secret: str
    expires_ms: int
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        tx.need(Consumer, self.consumer_id)
        tx.need(Project, self.project_id)
        for old in tx.find(RequestToken, "consumer_id", self.consumer_id):
            if old.expires_ms < self.now_ms:
                tx.delete(RequestToken, old.id)
        tx.put(
            RequestToken(
                id=self.request_id,
                consumer_id=self.consumer_id,
                project_id=self.project_id,
                secret=self.secret,
                expires_ms=self.expires_ms,
            )
        )


class AuthorizeRequestToken(Command, frozen=True, kw_only=True, tag="oauth_request.authorize.1"):
    """A user lets the consumer act with these roles of theirs."""

    TOLD: ClassVar[str] = "authorized the OAuth request {request_id} as user {user_id}"

    request_id: str
    user_id: str
    verifier: str
    role_ids: tuple[str, ...]

    def apply(self, tx: Transaction) -> None:
        before = tx.need(RequestToken, self.request_id)
        held = {role.id for role in roles_of(tx, self.user_id, Scope.PROJECT, before.project_id)}
        if not self.role_ids or not held.issuperset(self.role_ids):
            raise Unauthenticated("Authorizing user does not have role required.")
        tx.put(msgspec.structs.replace(before, user_id=self.user_id, verifier=self.verifier, role_ids=self.role_ids))


class CreateAccessToken(Command, frozen=True, kw_only=True, tag="oauth_access.create.1"):
    """The consumer shows what the user was told, and may act from now on. The request is answered and goes."""

    TOLD: ClassVar[str] = "gave an OAuth consumer access by its request {request_id}"

    request_id: str
    access_id: str
    secret: str
    verifier: str
    expires_ms: int

    def apply(self, tx: Transaction) -> None:
        asked = tx.need(RequestToken, self.request_id)
        if asked.user_id is None or asked.verifier is None or asked.verifier != self.verifier:
            raise Unauthenticated("The request token was not authorized, or its verifier is another one.")
        tx.put(
            AccessToken(
                id=self.access_id,
                consumer_id=asked.consumer_id,
                user_id=asked.user_id,
                project_id=asked.project_id,
                secret=self.secret,
                role_ids=asked.role_ids,
                expires_ms=self.expires_ms,
            )
        )
        tx.delete(RequestToken, asked.id)


class DeleteAccessToken(Command, frozen=True, kw_only=True, tag="oauth_access.delete.1"):
    """The consumer may act no longer, and its tokens end."""

    TOLD: ClassVar[str] = "took the access {access_id} from an OAuth consumer"

    FREES_ROOM: ClassVar[bool] = True

    access_id: str
    user_id: str

    def apply(self, tx: Transaction) -> None:
        access = tx.get(AccessToken, self.access_id)
        if access is None or access.user_id != self.user_id:
            raise NotFound.of(AccessToken.NOUN, self.access_id)
        tx.delete(AccessToken, access.id)


def forget_user(tx: Transaction, user_id: str) -> None:
    """The user goes: so does what they authorized."""
    _forget(tx, "user_id", user_id)


def forget_project(tx: Transaction, project_id: str) -> None:
    """The project goes: so do the requests and the accesses for it."""
    _forget(tx, "project_id", project_id)


def forget_role(tx: Transaction, role_id: str) -> None:
    """The role goes: so do the accesses that count on it."""
    for access in tx.find(AccessToken, "role_ids", role_id):
        tx.delete(AccessToken, access.id)


def _forget(tx: Transaction, field: str, value: str) -> None:
    for request in tx.find(RequestToken, field, value):
        tx.delete(RequestToken, request.id)
    for access in tx.find(AccessToken, field, value):
        tx.delete(AccessToken, access.id)
