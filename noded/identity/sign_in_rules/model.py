"""What must a password be, how long does it last, and when is a user locked? One record for the whole cloud. Pure."""

import re
from typing import ClassVar, Final

import msgspec

from noded.core.errors import Invalid
from noded.core.record import Record
from noded.core.store import View
from noded.identity.links import MEMORY_KIB_MAX, PASSES_MAX, HashCost
from noded.identity.model import Options, User

RULES_ID: Final = "rules"
DAY_MS: Final = 86_400_000


class SignInRules(Record, frozen=True, kw_only=True, tag="sign_in_rules.1"):
    """0 switches a rule off.

    Two wrong passwords and a pause of five seconds are as hard on a guesser as ten and half a minute, and a person who
    mistypes hardly notices.
    """

    NOUN: ClassVar[str] = "rules of signing in"

    id: str = RULES_ID
    lockout_failures: int = 2
    lockout_s: int = 5
    unique_last_passwords: int = 2  # a new password is none of so many last ones, the present one among them
    password_expires_days: int = 0
    password_age_min_days: int = 0
    password_pattern: str = ""  # a regular expression; empty: every password will do
    password_pattern_words: str = ""  # what it asks for, in the words that users read
    change_first_password: bool = False  # who got a password from somebody else has to choose one before signing in
    inactive_days: int = 0  # who has not signed in for longer does not come in until an administrator enables them
    hash_memory_kib: int = 0  # what hashing a password costs; 0: as much as the release finds right
    hash_passes: int = 0

    @property
    def hash_cost(self) -> HashCost:
        """What hashing a password shall cost."""
        return HashCost(self.hash_memory_kib, self.hash_passes)


def rules_of(view: View) -> SignInRules:
    """The rules that hold now."""
    return view.get(SignInRules, RULES_ID) or SignInRules()


def expect_strong(rules: SignInRules, password: str) -> None:
    """Raises `Invalid` unless the password is as the rules ask."""
    if rules.password_pattern and re.match(rules.password_pattern, password) is None:
        raise Invalid(
            "The password does not match the requirements:"
            f" {rules.password_pattern_words or 'the pattern of the rules of signing in'}."
        )


def expires_ms(rules: SignInRules, options: Options, now_ms: int, *, is_own: bool) -> int | None:
    """When a password that is set now expires. `is_own`: its user chose it."""
    if not is_own and rules.change_first_password and not options.get("ignore_change_password_upon_first_use"):
        return now_ms
    if rules.password_expires_days == 0 or options.get("ignore_password_expiry"):
        return None
    return now_ms + rules.password_expires_days * DAY_MS


def is_expired(user: User, now_ms: int) -> bool:
    """Whether the user has to choose a new password before signing in."""
    if user.password_expires_ms is None or user.options.get("ignore_password_expiry"):
        return False
    return user.password_expires_ms <= now_ms


def is_inactive(rules: SignInRules, user: User, now_ms: int) -> bool:
    """Whether the user has stayed away for too long."""
    if rules.inactive_days == 0 or user.last_active_day == 0 or user.options.get("ignore_user_inactivity"):
        return False
    return now_ms // DAY_MS - user.last_active_day > rules.inactive_days


def must_be_noted(rules: SignInRules, user: User, now_ms: int) -> bool:
    """Whether the user's sign-in is to be kept: the first one of a day, while a rule asks for it."""
    return rules.inactive_days > 0 and user.last_active_day < now_ms // DAY_MS


def may_be_locked(rules: SignInRules, user: User) -> bool:
    """Whether wrong passwords lock this user at all."""
    return rules.lockout_failures > 0 and not user.options.get("ignore_lockout_failure_attempts")


class RulesForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules as the API takes and gives them."""

    lockout_failures: int = 2
    lockout_s: int = 5
    unique_last_passwords: int = 2
    password_expires_days: int = 0
    password_age_min_days: int = 0
    password_pattern: str = ""
    password_pattern_words: str = ""
    change_first_password: bool = False
    inactive_days: int = 0
    hash_memory_kib: int = 0
    hash_passes: int = 0


_MOST: Final = {
    "lockout_failures": 1000,
    "lockout_s": 30 * 86_400,
    "unique_last_passwords": 24,  # as many hashes are kept of a user
    "password_expires_days": 36_500,
    "password_age_min_days": 36_500,
    "inactive_days": 36_500,
    "hash_memory_kib": MEMORY_KIB_MAX,
    "hash_passes": PASSES_MAX,
}
_HASH_MEMORY_KIB_MIN: Final = 7168  # below, guessing is cheap (OWASP, "Password Storage")


def expect_sense(form: RulesForm) -> None:
    """Raises `Invalid` that names the rule which makes no sense."""
    for name, most in _MOST.items():
        if not 0 <= getattr(form, name) <= most:
            raise Invalid(f"{name} must be from 0 to {most}; {getattr(form, name)} was asked for.")
    if 0 < form.hash_memory_kib < _HASH_MEMORY_KIB_MIN:
        raise Invalid(f"hash_memory_kib must be 0, for the usual cost, or from {_HASH_MEMORY_KIB_MIN} on.")
    if form.password_expires_days and form.password_age_min_days >= form.password_expires_days:
        raise Invalid("password_age_min_days must be less than password_expires_days, or no password could be changed.")
    try:
        re.compile(form.password_pattern)
    except re.error as wrong:
        raise Invalid(f"password_pattern is no regular expression: {wrong}.") from None
