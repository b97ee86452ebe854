"""What a domain, a project, a user, a group, a role, an assignment, a token's key and a revoked token are.

They stand together because a token is worth what all of them say at the moment when it is shown.
"""

from enum import StrEnum
from typing import Any, ClassVar, Final

import msgspec

from noded.core.ids import DomainId, GroupId, ProjectId, RoleId, UserId
from noded.core.record import Record

DEFAULT_DOMAIN: Final = DomainId("default")

Extra = dict[str, Any]  # attributes that Keystone keeps without knowing them; bounded by attributes.py
Options = dict[str, Any]  # "resource options": the few that each kind knows, checked by attributes.py


class Domain(Record, frozen=True, kw_only=True, tag="domain.1"):
    """A name space of users and projects."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name",)
    NOUN: ClassVar[str] = "domain"

    id: DomainId
    name: str
    description: str = ""
    enabled: bool = True
    extra: Extra = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    options: Options = msgspec.field(default_factory=dict)


class Project(Record, frozen=True, kw_only=True, tag="project.1"):
    """What owns resources. `parent_id` None: directly below its domain."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name", "domain_id", "parent_id")
    NOUN: ClassVar[str] = "project"

    id: ProjectId
    domain_id: DomainId
    parent_id: ProjectId | None = None
    name: str
    description: str = ""
    enabled: bool = True
    tags: tuple[str, ...] = ()
    extra: Extra = msgspec.field(default_factory=dict)
    options: Options = msgspec.field(default_factory=dict)


class FederatedIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a user is to an identity provider, by one of its protocols."""

    provider_id: str
    protocol: str
    unique_id: str

    @property
    def key(self) -> str:
        """By which the user is found who it is here."""
        return msgspec.json.encode([self.provider_id, self.protocol, self.unique_id]).decode()


class User(Record, frozen=True, kw_only=True, tag="user.1"):
    """A person or a program that signs in. A token says under which `password_generation` it was made.

    So a changed password ends all older tokens without comparing two nodes' clocks.
    """

    INDEXED: ClassVar[tuple[str, ...]] = ("name", "domain_id", "default_project_id", "federated_keys")
    NOUN: ClassVar[str] = "user"

    id: UserId
    domain_id: DomainId
    name: str
    password_hash: str | None = None
    password_generation: int = 1
    enabled: bool = True
    description: str = ""
    email: str | None = None
    default_project_id: ProjectId | None = None
    locked_until_ms: int = 0
    extra: Extra = msgspec.field(default_factory=dict)
    options: Options = msgspec.field(default_factory=dict)
    past_hashes: tuple[str, ...] = ()  # of earlier passwords, the newest first; as many as the rules look back
    password_set_ms: int = 0  # 0: not known
    password_expires_ms: int | None = None
    federated: tuple[FederatedIdentity, ...] = ()  # who they are to identity providers
    last_active_day: int = 0  # since 1970; kept while a rule asks for it. 0: not known

    @property
    def federated_keys(self) -> tuple[str, ...]:
        """By which an identity provider's user is found."""
        return tuple(each.key for each in self.federated)


class Group(Record, frozen=True, kw_only=True, tag="group.1"):
    """Users who hold roles together."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name", "domain_id")
    NOUN: ClassVar[str] = "group"

    id: GroupId
    domain_id: DomainId
    name: str
    description: str = ""
    extra: Extra = msgspec.field(default_factory=dict)


class Membership(Record, frozen=True, kw_only=True, tag="membership.1"):
    """A user is in a group; where an identity provider said so, until its word has to be given again."""

    INDEXED: ClassVar[tuple[str, ...]] = ("user_id", "group_id")
    NOUN: ClassVar[str] = "group membership"

    id: str  # `membership_id`
    user_id: UserId
    group_id: GroupId
    expires_ms: int | None = None


class Role(Record, frozen=True, kw_only=True, tag="role.1"):
    """A name that policy asks for. Who holds it also holds all that it implies."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name", "implies")
    NOUN: ClassVar[str] = "role"

    id: RoleId
    name: str
    domain_id: DomainId | None = None
    description: str | None = None
    implies: tuple[RoleId, ...] = ()
    extra: Extra = msgspec.field(default_factory=dict)
    options: Options = msgspec.field(default_factory=dict)


class Scope(StrEnum):
    """What a role, or a token, holds for."""

    NONE = "unscoped"
    PROJECT = "project"
    DOMAIN = "domain"
    SYSTEM = "system"


SYSTEM_ID: Final = "all"


class Actor(StrEnum):
    """Who holds a role."""

    USER = "user"
    GROUP = "group"


class Assignment(Record, frozen=True, kw_only=True, tag="assignment.1"):
    """A user or a group holds a role for a project, a domain, or the whole system (`target_id` is then `SYSTEM_ID`).

    An inherited one holds for all projects below the project or domain, and not for the target itself.
    """

    INDEXED: ClassVar[tuple[str, ...]] = ("actor_id", "target_id", "role_id", "holding")
    NOUN: ClassVar[str] = "role assignment"

    id: str  # `assignment_id`
    actor_id: str = msgspec.field(name="user_id")  # a group's for a group
    scope: Scope
    target_id: str
    role_id: RoleId
    actor: Actor = Actor.USER
    inherited: bool = False

    @property
    def holding(self) -> str:
        """Actor and target in one word, by which a token's roles are found."""
        return holding_of(self.actor_id, self.scope, self.target_id, inherited=self.inherited)


class TokenKey(Record, frozen=True, kw_only=True, tag="token_key.1"):
    """A key that seals tokens. The highest number is staged: every node can open with it before any node seals."""

    NOUN: ClassVar[str] = "token key"

    id: str
    number: int
    secret: bytes
    created_ms: int


class RevokedToken(Record, frozen=True, kw_only=True, tag="revoked_token.1"):
    """A token that ends before its time. Forgotten after it would have ended anyway."""

    NOUN: ClassVar[str] = "revoked token"

    id: str  # the token's audit id
    expires_ms: int


def holding_of(actor_id: str, scope: Scope, target_id: str, *, inherited: bool = False) -> str:
    """Actor and target in one word."""
    return f"{actor_id}:{scope.value}:{target_id}" + (":below" if inherited else "")


def assignment_id(actor_id: str, scope: Scope, target_id: str, role_id: str, *, inherited: bool = False) -> str:
    """The id that an assignment has on every node, so granting twice changes nothing."""
    return f"{holding_of(actor_id, scope, target_id, inherited=inherited)}:{role_id}"


def membership_id(group_id: str, user_id: str) -> str:
    """The id that a membership has on every node."""
    return f"{group_id}:{user_id}"
