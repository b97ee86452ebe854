"""Orders about policy. That rules can be read is seen before they are proposed: releases may read differently."""

from typing import ClassVar, Final

from noded.core.command import Command
from noded.core.errors import Invalid
from noded.core.store import Transaction
from noded.policy.model import PolicyRule

RULES_MAX: Final = 2000
NAME_CHARS_MAX: Final = 255


class SetPolicyRules(Command, frozen=True, kw_only=True, tag="policy_rules.set.1"):
    """These rules hold from now on; all together or none."""

    TOLD: ClassVar[str] = "set the policy of {names}"

    names: str  # of what, in words: history tells it
    rules: dict[str, str]

    def apply(self, tx: Transaction) -> None:
        for name, rule in self.rules.items():
            tx.put(PolicyRule(id=name, rule=rule))
        if tx.count(PolicyRule) > RULES_MAX:
            raise Invalid(f"There may be {RULES_MAX} rules of your own; this would make {tx.count(PolicyRule)}.")


class UnsetPolicyRules(Command, frozen=True, kw_only=True, tag="policy_rules.unset.1"):
    """For these the release's own rules hold again."""

    TOLD: ClassVar[str] = "took back the own policy of {names}"

    FREES_ROOM: ClassVar[bool] = True

    names: str
    rules: tuple[str, ...]

    def apply(self, tx: Transaction) -> None:
        for name in self.rules:
            tx.delete(PolicyRule, name)
