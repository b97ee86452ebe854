"""The one order about the rules of signing in."""

from typing import ClassVar

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
        tx.put(
            SignInRules(
                lockout_failures=form.lockout_failures,
                lockout_s=form.lockout_s,
                unique_last_passwords=form.unique_last_passwords,
                password_expires_days=form.password_expires_days,
                password_age_min_days=form.password_age_min_days,
                password_pattern=form.password_pattern,
                password_pattern_words=form.password_pattern_words,
                change_first_password=form.change_first_password,
            )
        )
