"""The one order about the rules of signing in."""

from typing import ClassVar

import msgspec

from noded.core.command import Command
from noded.core.store import Transaction
from noded.identity.sign_in_rules.model import RulesForm, SignInRules, expect_sense


class SetSignInRules(Command, frozen=True, kw_only=True, tag="sign_in_rules.set.1"):
    """These rules hold from now on. What was set before keeps the time at which it expires."""

    TOLD: ClassVar[str] = "set the rules of passwords and locks"

    rules: RulesForm

    def apply(self, tx: Transaction) -> None:
        form = self.rules
        expect_sense(form)
        tx.put(SignInRules(**msgspec.structs.asdict(form)))
