"""Orders about federation."""

from typing import Any, ClassVar, TypeVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, Invalid
from noded.core.ids import DomainId, GroupId, ProjectId, RoleId, UserId
from noded.core.record import Record
from noded.core.store import Transaction, View
from noded.identity.attributes import given
from noded.identity.grants.commands import GrantRole
from noded.identity.model import (
    Assignment,
    Domain,
    FederatedIdentity,
    Group,
    Membership,
    Project,
    Role,
    Scope,
    User,
    assignment_id,
    membership_id,
)
from noded.identity.projects.commands import CreateProject
from noded.identity.providers import (
    IdentityProvider,
    Mapping,
    Protocol,
    ServiceProvider,
    protocol_key,
    remove_provider,
)
from noded.identity.standing import by_name

R = TypeVar("R", bound=Record)


class CreateProvider(Command, frozen=True, kw_only=True, tag="identity_provider.create.1"):
    """Somebody vouches for users from now on."""

    TOLD: ClassVar[str] = "created the identity provider {provider_id}"

    provider_id: str
    domain_id: str
    enabled: bool = False
    description: str | None = None
    remote_ids: tuple[str, ...] = ()
    authorization_ttl: int | None = None

    def apply(self, tx: Transaction) -> None:
        _expect_free(tx, IdentityProvider, self.provider_id)
        tx.need(Domain, self.domain_id)
        _expect_remote_ids_free(tx, self.provider_id, self.remote_ids)
        tx.put(
            IdentityProvider(
                id=self.provider_id,
                domain_id=self.domain_id,
                enabled=self.enabled,
                description=self.description,
                remote_ids=self.remote_ids,
                authorization_ttl=self.authorization_ttl,
            )
        )


class UpdateProvider(Command, frozen=True, kw_only=True, tag="identity_provider.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the identity provider {provider_id}"

    provider_id: str
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    remote_ids: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    authorization_ttl: int | msgspec.UnsetType | None = msgspec.UNSET

    def apply(self, tx: Transaction) -> None:
        before = tx.need(IdentityProvider, self.provider_id)
        after = _changed(before, self)
        _expect_remote_ids_free(tx, before.id, after.remote_ids)
        tx.put(after)


class DeleteProvider(Command, frozen=True, kw_only=True, tag="identity_provider.delete.1"):
    """Its word counts no more."""

    TOLD: ClassVar[str] = "deleted the identity provider {provider_id}"

    FREES_ROOM: ClassVar[bool] = True

    provider_id: str

    def apply(self, tx: Transaction) -> None:
        remove_provider(tx, tx.need(IdentityProvider, self.provider_id))


class CreateProtocol(Command, frozen=True, kw_only=True, tag="federation_protocol.create.1"):
    """How an identity provider speaks."""

    TOLD: ClassVar[str] = "gave the identity provider {provider_id} the protocol {name}"

    provider_id: str
    name: str
    mapping_id: str
    remote_id_attribute: str | None = None

    def apply(self, tx: Transaction) -> None:
        tx.need(IdentityProvider, self.provider_id)
        _expect_free(tx, Protocol, protocol_key(self.provider_id, self.name))
        _expect_mapping(tx, self.mapping_id)
        tx.put(
            Protocol(
                id=protocol_key(self.provider_id, self.name),
                name=self.name,
                provider_id=self.provider_id,
                mapping_id=self.mapping_id,
                remote_id_attribute=self.remote_id_attribute,
            )
        )


class UpdateProtocol(Command, frozen=True, kw_only=True, tag="federation_protocol.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the protocol {name} of the identity provider {provider_id}"

    provider_id: str
    name: str
    mapping_id: str | msgspec.UnsetType = msgspec.UNSET
    remote_id_attribute: str | msgspec.UnsetType | None = msgspec.UNSET

    def apply(self, tx: Transaction) -> None:
        after = _changed(tx.need(Protocol, protocol_key(self.provider_id, self.name)), self)
        _expect_mapping(tx, after.mapping_id)
        tx.put(after)


class DeleteProtocol(Command, frozen=True, kw_only=True, tag="federation_protocol.delete.1"):
    """The identity provider speaks so no more."""

    TOLD: ClassVar[str] = "took the protocol {name} from the identity provider {provider_id}"

    FREES_ROOM: ClassVar[bool] = True

    provider_id: str
    name: str

    def apply(self, tx: Transaction) -> None:
        tx.delete(Protocol, tx.need(Protocol, protocol_key(self.provider_id, self.name)).id)


class CreateMapping(Command, frozen=True, kw_only=True, tag="federation_mapping.create.1"):
    """Rules to read what an identity provider says."""

    TOLD: ClassVar[str] = "created the mapping {mapping_id}"

    mapping_id: str
    rules: tuple[dict[str, Any], ...]
    schema_version: str = "1.0"

    def apply(self, tx: Transaction) -> None:
        _expect_free(tx, Mapping, self.mapping_id)
        tx.put(Mapping(id=self.mapping_id, rules=self.rules, schema_version=self.schema_version))


class UpdateMapping(Command, frozen=True, kw_only=True, tag="federation_mapping.update.1"):
    """Other rules from now on."""

    TOLD: ClassVar[str] = "changed the mapping {mapping_id}"

    mapping_id: str
    rules: tuple[dict[str, Any], ...] | msgspec.UnsetType = msgspec.UNSET
    schema_version: str | msgspec.UnsetType = msgspec.UNSET

    def apply(self, tx: Transaction) -> None:
        tx.put(_changed(tx.need(Mapping, self.mapping_id), self))


class DeleteMapping(Command, frozen=True, kw_only=True, tag="federation_mapping.delete.1"):
    """The rules go; no protocol may be read by them."""

    TOLD: ClassVar[str] = "deleted the mapping {mapping_id}"

    FREES_ROOM: ClassVar[bool] = True

    mapping_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(Mapping, self.mapping_id)
        users = tx.find(Protocol, "mapping_id", self.mapping_id)
        if users:
            raise Forbidden(f"The mapping {self.mapping_id} is used by the protocol {users[0].id}: delete that first.")
        tx.delete(Mapping, self.mapping_id)


class CreateServiceProvider(Command, frozen=True, kw_only=True, tag="service_provider.create.1"):
    """Another cloud takes our word from now on."""

    TOLD: ClassVar[str] = "created the service provider {provider_id}"

    provider_id: str
    auth_url: str
    sp_url: str
    enabled: bool = False
    description: str | None = None
    relay_state_prefix: str | None = "ss:mem:"

    def apply(self, tx: Transaction) -> None:
        _expect_free(tx, ServiceProvider, self.provider_id)
        tx.put(
            ServiceProvider(
                id=self.provider_id,
                auth_url=self.auth_url,
                sp_url=self.sp_url,
                enabled=self.enabled,
                description=self.description,
                relay_state_prefix=self.relay_state_prefix,
            )
        )


class UpdateServiceProvider(Command, frozen=True, kw_only=True, tag="service_provider.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the service provider {provider_id}"

    provider_id: str
    auth_url: str | msgspec.UnsetType = msgspec.UNSET
    sp_url: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    relay_state_prefix: str | msgspec.UnsetType | None = msgspec.UNSET

    def apply(self, tx: Transaction) -> None:
        tx.put(_changed(tx.need(ServiceProvider, self.provider_id), self))


class DeleteServiceProvider(Command, frozen=True, kw_only=True, tag="service_provider.delete.1"):
    """The other cloud is listed no more."""

    TOLD: ClassVar[str] = "deleted the service provider {provider_id}"

    FREES_ROOM: ClassVar[bool] = True

    provider_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(ServiceProvider, self.provider_id)
        tx.delete(ServiceProvider, self.provider_id)


class Provision(msgspec.Struct, frozen=True, kw_only=True):
    """A project that the user shall have. `project_id`: the one that it gets if there is none of that name."""

    project_id: ProjectId
    domain_id: DomainId
    name: str
    role_ids: tuple[RoleId, ...] = ()


class ShadowUser(Command, frozen=True, kw_only=True, tag="user.shadow.1"):
    """Who an identity provider vouches for is a user here, as it described them last. Doing it twice changes nothing.

    `group_ids`: groups in which they are until `groups_expire_ms`, for what they hand on; None: the token alone says.
    """

    TOLD: ClassVar[str] = "took in {name}, for whom the identity provider {provider_id} vouches"

    user_id: UserId  # for a new user
    domain_id: DomainId
    name: str
    email: str | None = None
    provider_id: str
    protocol: str
    unique_id: str
    projects: tuple[Provision, ...] = ()
    group_ids: tuple[GroupId, ...] = ()
    groups_expire_ms: int | None = None

    def apply(self, tx: Transaction) -> None:
        tx.need(Protocol, protocol_key(self.provider_id, self.protocol))
        tx.need(Domain, self.domain_id)
        user = self.user_in(tx)
        if user is None:
            user = User(
                id=self.user_id,
                domain_id=self.domain_id,
                name=self.name,
                email=self.email,
                federated=(self.identity,),
            )
        tx.put(msgspec.structs.replace(user, name=self.name, email=self.email or user.email))
        for each in self.projects:
            _provide(tx, user.id, each)
        for group_id in self.group_ids if self.groups_expire_ms is not None else ():
            _join(tx, user.id, group_id, self.groups_expire_ms)

    @property
    def identity(self) -> FederatedIdentity:
        """Who the user is to the identity provider."""
        return FederatedIdentity(provider_id=self.provider_id, protocol=self.protocol, unique_id=self.unique_id)

    def user_in(self, view: View) -> User | None:
        """The user who it is here, if they came before."""
        return next(iter(view.find(User, "federated_keys", self.identity.key)), None)

    def is_done(self, view: View, margin_ms: int) -> bool:
        """Whether it would change nothing, but for memberships that would last less than `margin_ms` longer."""
        user = self.user_in(view)
        if user is None or user.name != self.name or self.email not in (None, user.email):
            return False
        if self.groups_expire_ms is not None and not all(
            _lasts(view.get(Membership, membership_id(id, user.id)), self.groups_expire_ms - margin_ms)
            for id in self.group_ids
        ):
            return False
        return all(_has(view, user.id, each) for each in self.projects)


class ForgetExpiredMemberships(Command, frozen=True, kw_only=True, tag="membership.expire.1"):
    """What identity providers said of groups counts no more once its time is over."""

    TOLD: ClassVar[str] = "ended memberships in groups that an identity provider has not confirmed in time"

    FREES_ROOM: ClassVar[bool] = True

    membership_ids: tuple[str, ...]
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        for id in self.membership_ids:
            membership = tx.get(Membership, id)
            if membership is not None and membership.expires_ms is not None and membership.expires_ms <= self.now_ms:
                tx.delete(Membership, id)


def _lasts(membership: Membership | None, least_ms: int) -> bool:
    return membership is not None and (membership.expires_ms is None or membership.expires_ms >= least_ms)


def _has(view: View, user_id: str, wish: Provision) -> bool:
    project_id = by_name(view, wish.name, wish.domain_id)
    return project_id is not None and all(
        view.get(Assignment, assignment_id(user_id, Scope.PROJECT, project_id, role_id)) is not None
        for role_id in wish.role_ids
    )


def _provide(tx: Transaction, user_id: UserId, wish: Provision) -> None:
    project_id = by_name(tx, wish.name, wish.domain_id)
    if project_id is None:
        project_id = wish.project_id
        CreateProject(project_id=project_id, domain_id=wish.domain_id, name=wish.name).apply(tx)
    assert tx.get(Project, project_id) is not None
    for role_id in wish.role_ids:
        tx.need(Role, role_id)
        GrantRole(user_id=user_id, scope=Scope.PROJECT, target_id=project_id, role_id=role_id).apply(tx)


def _join(tx: Transaction, user_id: UserId, group_id: GroupId, until_ms: int | None) -> None:
    before = tx.get(Membership, membership_id(group_id, user_id))
    if tx.get(Group, group_id) is None or (before is not None and before.expires_ms is None):
        return  # an administrator's own word counts for longer
    id = membership_id(group_id, user_id)
    tx.put(Membership(id=id, user_id=user_id, group_id=group_id, expires_ms=until_ms))


def _changed(before: R, change: Command) -> R:
    names = set(before.__struct_fields__) - {"id", "name", "provider_id"}
    return msgspec.structs.replace(before, **{name: value for name, value in given(change).items() if name in names})


def _expect_free(tx: Transaction, kind: type[Record], id: str) -> None:
    if tx.get(kind, id) is not None:
        raise Conflict(f"Conflict occurred attempting to store {kind.NOUN} - Duplicate entry found with ID {id}.")


def _expect_remote_ids_free(tx: Transaction, provider_id: str, remote_ids: tuple[str, ...]) -> None:
    for remote_id in remote_ids:
        if any(other.id != provider_id for other in tx.find(IdentityProvider, "remote_ids", remote_id)):
            raise Conflict(
                f"Conflict occurred attempting to store identity provider - Duplicate remote ID: {remote_id}."
            )


def _expect_mapping(tx: Transaction, mapping_id: str) -> None:
    if tx.get(Mapping, mapping_id) is None:
        raise Invalid(f"Invalid mapping_id: no mapping {mapping_id} is known.")
