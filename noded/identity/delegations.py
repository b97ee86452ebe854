"""What do users hand to others: application credentials (to programs), trusts (to users), OAuth tokens (to consumers).

They stand together because a token that was made through one is worth what it says when it is shown.
"""

from typing import ClassVar, Final

from noded.core.record import Record
from noded.core.store import View

REDELEGATIONS_MAX: Final = 3  # as Keystone's default


class StoredRule(Record, frozen=True, kw_only=True, tag="access_rule.1"):
    """One verb on one path of one service. A user's application credentials share equal rules."""

    INDEXED: ClassVar[tuple[str, ...]] = ("user_id",)
    NOUN: ClassVar[str] = "access rule"

    id: str
    user_id: str
    service: str  # a catalogue type
    verb: str
    path: str


class ApplicationCredential(Record, frozen=True, kw_only=True, tag="application_credential.1"):
    """Opens one project for a program, with some of its user's roles. No `rule_ids`: every request of those roles."""

    INDEXED: ClassVar[tuple[str, ...]] = ("user_id", "project_id", "role_ids", "rule_ids")
    NOUN: ClassVar[str] = "application credential"

    id: str
    user_id: str
    project_id: str
    name: str
    secret_hash: str
    role_ids: tuple[str, ...]
    description: str | None = None
    expires_us: int | None = None
    unrestricted: bool = False  # it may make and delete application credentials and trusts
    rule_ids: tuple[str, ...] = ()


class Trust(Record, frozen=True, kw_only=True, tag="trust.1"):
    """The trustee may act with these roles of the trustor on the project; with `impersonation` as the trustor.

    `redelegation_count`: how often it may be handed on. One that was handed on holds as long as the one it came from.
    """

    INDEXED: ClassVar[tuple[str, ...]] = (
        "trustor_user_id",
        "trustee_user_id",
        "project_id",
        "role_ids",
        "redelegated_trust_id",
    )
    NOUN: ClassVar[str] = "trust"

    id: str
    trustor_user_id: str
    trustee_user_id: str
    impersonation: bool
    project_id: str | None = None
    role_ids: tuple[str, ...] = ()
    expires_us: int | None = None
    remaining_uses: int | None = None
    redelegation_count: int = 0
    redelegated_trust_id: str | None = None


class AccessToken(Record, frozen=True, kw_only=True, tag="oauth_access.1"):
    """A consumer (OAuth 1.0a) may act as the user who authorized it, with these roles on the project."""

    INDEXED: ClassVar[tuple[str, ...]] = ("consumer_id", "user_id", "project_id", "role_ids")
    NOUN: ClassVar[str] = "access token"

    id: str
    consumer_id: str
    user_id: str
    project_id: str
    secret: str
    role_ids: tuple[str, ...]
    expires_ms: int


Delegated = ApplicationCredential | Trust | AccessToken


def rules_of(view: View, credential: ApplicationCredential) -> list[StoredRule]:
    """Its access rules, in the order in which they were given."""
    return [view.need(StoredRule, rule_id) for rule_id in credential.rule_ids]


def pedigree(view: View, trust: Trust) -> list[Trust]:
    """The trust and those that it was handed on from, the first one last."""
    chain = [trust]
    while (before_id := chain[-1].redelegated_trust_id) is not None:
        chain.append(view.need(Trust, before_id))
    return chain
