"""What the operator says otherwise than this release: one record a rule."""

from typing import ClassVar

from noded.core.record import Record


class PolicyRule(Record, frozen=True, kw_only=True, tag="policy_rule.1"):
    """The rule that holds for an action, or under a name, in place of the release's own. `id`: that action or name."""

    NOUN: ClassVar[str] = "policy rule"

    id: str
    rule: str
