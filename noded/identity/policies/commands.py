"""Orders about policies and what has them."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import NotFound
from noded.core.store import Transaction
from noded.identity.attributes import changed, merged
from noded.identity.policies.model import Policy, PolicyLink, target_id


class CreatePolicy(Command, frozen=True, kw_only=True, tag="policy.create.1"):
    """A new text."""

    TOLD: ClassVar[str] = "created the policy {policy_id}"

    policy_id: str
    type: str
    blob: str
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        tx.put(Policy(id=self.policy_id, type=self.type, blob=self.blob, extra=self.extra))


class UpdatePolicy(Command, frozen=True, kw_only=True, tag="policy.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the policy {policy_id}"

    policy_id: str
    type: str | msgspec.UnsetType = msgspec.UNSET
    blob: str | msgspec.UnsetType = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = tx.need(Policy, self.policy_id)
        tx.put(changed(before, self, merged(before.extra, self.extra)))


class DeletePolicy(Command, frozen=True, kw_only=True, tag="policy.delete.1"):
    """The text goes; what had it has none."""

    TOLD: ClassVar[str] = "deleted the policy {policy_id}"

    FREES_ROOM: ClassVar[bool] = True

    policy_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(Policy, self.policy_id)
        _forget(tx, "policy_id", self.policy_id)
        tx.delete(Policy, self.policy_id)


class LinkPolicy(Command, frozen=True, kw_only=True, tag="policy.link.1"):
    """An endpoint, a service, or a service in a region has that policy from now on, and no other."""

    TOLD: ClassVar[str] = "gave the policy {policy_id} to {target}"

    policy_id: str
    target: str
    endpoint_id: str | None = None
    service_id: str | None = None
    region_id: str | None = None

    def apply(self, tx: Transaction) -> None:
        tx.need(Policy, self.policy_id)
        tx.put(
            PolicyLink(
                id=target_id(self.endpoint_id, self.service_id, self.region_id),
                policy_id=self.policy_id,
                endpoint_id=self.endpoint_id,
                service_id=self.service_id,
                region_id=self.region_id,
            )
        )


class UnlinkPolicy(Command, frozen=True, kw_only=True, tag="policy.unlink.1"):
    """It no longer has that policy."""

    TOLD: ClassVar[str] = "took the policy {policy_id} from {target}"

    FREES_ROOM: ClassVar[bool] = True

    policy_id: str
    target: str

    def apply(self, tx: Transaction) -> None:
        link = tx.get(PolicyLink, self.target)
        if link is None or link.policy_id != self.policy_id:
            raise NotFound(f"Could not find policy association: {self.policy_id} is not the policy there.")
        tx.delete(PolicyLink, self.target)


def forget_endpoint(tx: Transaction, endpoint_id: str) -> None:
    """The endpoint goes: so does what it had."""
    _forget(tx, "endpoint_id", endpoint_id)


def forget_service(tx: Transaction, service_id: str) -> None:
    """The service goes: so does what it had."""
    _forget(tx, "service_id", service_id)


def forget_region(tx: Transaction, region_id: str) -> None:
    """The region goes: so does what services had there."""
    _forget(tx, "region_id", region_id)


def _forget(tx: Transaction, field: str, value: str) -> None:
    for link in tx.find(PolicyLink, field, value):
        tx.delete(PolicyLink, link.id)
