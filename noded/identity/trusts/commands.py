"""Orders about trusts."""

from typing import ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Forbidden, NotFound
from noded.core.store import Transaction
from noded.identity.delegations import Trust, pedigree
from noded.identity.model import Project, Role, Scope, User
from noded.identity.standing import roles_of


class CreateTrust(Command, frozen=True, kw_only=True, tag="trust.create.1"):
    """A user trusts another one. The trustor, or who they have it from, must hold the roles there now."""

    TOLD: ClassVar[str] = "let user {trustee_user_id} act with roles of user {trustor_user_id}"

    trust_id: str
    trustor_user_id: str
    trustee_user_id: str
    impersonation: bool
    project_id: str | None = None
    role_ids: tuple[str, ...] = ()
    expires_us: int | None = None
    remaining_uses: int | None = None
    redelegation_count: int = 0
    redelegated_trust_id: str | None = None

    def apply(self, tx: Transaction) -> None:
        tx.need(User, self.trustor_user_id)
        tx.need(User, self.trustee_user_id)
        trust = Trust(
            id=self.trust_id,
            trustor_user_id=self.trustor_user_id,
            trustee_user_id=self.trustee_user_id,
            impersonation=self.impersonation,
            project_id=self.project_id,
            role_ids=self.role_ids,
            expires_us=self.expires_us,
            remaining_uses=self.remaining_uses,
            redelegation_count=self.redelegation_count,
            redelegated_trust_id=self.redelegated_trust_id,
        )
        if self.redelegated_trust_id is not None:
            tx.need(Trust, self.redelegated_trust_id)
        chain = pedigree(tx, trust)
        for before in chain[1:]:
            _expect_within(before, trust)
        if self.project_id is not None:
            tx.need(Project, self.project_id)
            held = {role.id for role in roles_of(tx, chain[-1].trustor_user_id, Scope.PROJECT, self.project_id)}
            for role_id in self.role_ids:
                if role_id not in held:
                    raise NotFound.of(Role.NOUN, role_id)
        tx.put(trust)


class UseTrust(Command, frozen=True, kw_only=True, tag="trust.use.1"):
    """A token was made through it: one use less remains."""

    TOLD: ClassVar[str] = "used the trust {trust_id}"

    trust_id: str

    def apply(self, tx: Transaction) -> None:
        trust = tx.need(Trust, self.trust_id)
        if trust.remaining_uses is None:
            return
        if trust.remaining_uses < 1:
            raise Forbidden(f"No remaining uses for trust: {trust.id}.")
        tx.put(msgspec.structs.replace(trust, remaining_uses=trust.remaining_uses - 1))


class DeleteTrust(Command, frozen=True, kw_only=True, tag="trust.delete.1"):
    """Nobody acts through it any more, nor through what was handed on from it."""

    TOLD: ClassVar[str] = "deleted the trust {trust_id}"

    FREES_ROOM: ClassVar[bool] = True

    trust_id: str

    def apply(self, tx: Transaction) -> None:
        _remove(tx, tx.need(Trust, self.trust_id))


def forget_user(tx: Transaction, user_id: str) -> None:
    """The user goes: so do the trusts that they gave and got."""
    _forget(tx, "trustor_user_id", user_id)
    _forget(tx, "trustee_user_id", user_id)


def forget_project(tx: Transaction, project_id: str) -> None:
    """The project goes: so do the trusts for it."""
    _forget(tx, "project_id", project_id)


def forget_role(tx: Transaction, role_id: str) -> None:
    """The role goes: so do the trusts that count on it."""
    _forget(tx, "role_ids", role_id)


def _forget(tx: Transaction, field: str, value: str) -> None:
    for trust in tx.find(Trust, field, value):
        if tx.get(Trust, trust.id) is not None:  # it may have gone with one before it
            _remove(tx, trust)


def _remove(tx: Transaction, trust: Trust) -> None:
    for later in tx.find(Trust, "redelegated_trust_id", trust.id):
        _remove(tx, later)
    tx.delete(Trust, trust.id)


def _expect_within(before: Trust, trust: Trust) -> None:
    """Who hands a trust on gives no more than they have."""
    if before.redelegation_count < 1:
        raise Forbidden(f"The trust {before.id} must not be handed on: its redelegation count is 0.")
    if trust.remaining_uses is not None:
        raise Forbidden("`remaining_uses` must not be set in order to redelegate a trust.")
    if before.expires_us is not None and (trust.expires_us is None or trust.expires_us > before.expires_us):
        raise Forbidden("Requested expiration time is more than redelegated trust can provide.")
    if not set(trust.role_ids) <= set(before.role_ids):
        raise Forbidden("Some of requested roles are not in redelegated trust.")
    if trust.project_id != before.project_id:
        raise Forbidden("A trust can be handed on for the project that it is for, and for no other.")
    if trust.impersonation and not before.impersonation:
        raise Forbidden("Impersonation is not allowed because redelegated trust does not specify impersonation.")
