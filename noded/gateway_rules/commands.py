"""The one order about the rules of the gateway."""

from typing import ClassVar

from noded.core.command import Command
from noded.core.store import Transaction
from noded.gateway_rules.model import GatewayRules, GatewayRulesForm, expect_sense


class SetGatewayRules(Command, frozen=True, kw_only=True, tag="gateway_rules.set.1"):
    """These rules hold from now on."""

    TOLD: ClassVar[str] = "set the rules of the gateway"

    rules: GatewayRulesForm

    def apply(self, tx: Transaction) -> None:
        expect_sense(self.rules)
        form = self.rules
        tx.put(GatewayRules(requests_s=form.requests_s, burst=form.burst, origins=form.origins))
