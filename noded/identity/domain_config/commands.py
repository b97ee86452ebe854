"""Orders about the options of domains."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import NotFound
from noded.core.store import Transaction, View
from noded.identity.domain_config.model import DomainConfig, Groups, joined, without
from noded.identity.model import Domain


class SetDomainConfig(Command, frozen=True, kw_only=True, tag="domain_config.set.1"):
    """The domain gets these options. `anew`: and no others; else they are laid over those that it has.

    `group`, `option`: what must be there already, since it is that which shall change.
    """

    TOLD: ClassVar[str] = "set options of the domain {domain_id}"

    domain_id: str
    options: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    secret_options: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    anew: bool = False
    group: str | None = None
    option: str | None = None

    def apply(self, tx: Transaction) -> None:
        tx.need(Domain, self.domain_id)
        before = DomainConfig(id=self.domain_id)
        if not self.anew:
            before = need_options(tx, self.domain_id, self.group, self.option)
        tx.put(
            DomainConfig(
                id=self.domain_id,
                options=joined(before.options, self.options),
                secret_options=joined(before.secret_options, self.secret_options),
            )
        )


class DeleteDomainConfig(Command, frozen=True, kw_only=True, tag="domain_config.delete.1"):
    """The domain has no options any more, or one group or one option less."""

    TOLD: ClassVar[str] = "deleted options of the domain {domain_id}"

    FREES_ROOM: ClassVar[bool] = True

    domain_id: str
    group: str | None = None
    option: str | None = None

    def apply(self, tx: Transaction) -> None:
        tx.need(Domain, self.domain_id)
        before = need_options(tx, self.domain_id, self.group, self.option)
        options = without(before.options, self.group, self.option)
        secret_options = without(before.secret_options, self.group, self.option)
        if options or secret_options:
            tx.put(DomainConfig(id=self.domain_id, options=options, secret_options=secret_options))
        else:
            tx.delete(DomainConfig, self.domain_id)


def need_options(view: View, domain_id: str, group: str | None, option: str | None) -> DomainConfig:
    """The domain's configuration, which has that group and that option; raises `NotFound`."""
    found = view.get(DomainConfig, domain_id)
    if found is None or (not _has(found.options, group, option) and not _has(found.secret_options, group, option)):
        what = "any options" if group is None else f"group {group}" if option is None else f"option {option} in {group}"
        raise NotFound(f"Could not find {what} in domain configuration for domain {domain_id}.")
    return found


def forget_domain(tx: Transaction, domain_id: str) -> None:
    """The domain goes: so do its options."""
    if tx.get(DomainConfig, domain_id) is not None:
        tx.delete(DomainConfig, domain_id)


def _has(groups: Groups, group: str | None, option: str | None) -> bool:
    if group is None:
        return bool(groups)
    return group in groups and (option is None or option in groups[group])
