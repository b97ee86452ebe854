"""Who may look at what is not theirs, and who may change it? Pure. (Keystone's default policies, persona by persona.)

admin                          everything; with a token of a domain, what is in domains alone
reader and more of the system  sees everything
reader and more of a domain    sees what is in that domain
manager of a domain            also changes it: users, groups, projects, and grants of the roles below admin
"""

from noded.core.errors import Forbidden
from noded.core.route import Caller, DelegationKind

_READERS = frozenset({"reader", "member", "manager", "admin"})


def expect_own_hand(caller: Caller) -> None:
    """Raises `Forbidden` for a token that was made through a trust or an OAuth access token: it must not beget more."""
    delegation = caller.delegation
    if delegation is not None and delegation.kind is not DelegationKind.APPLICATION_CREDENTIAL:
        raise Forbidden("A token made through a trust or an OAuth access token can't be used for this.")


def expect_unrestricted(caller: Caller) -> None:
    """Raises `Forbidden` for a token of an application credential that must not beget more."""
    delegation = caller.delegation
    if (
        delegation is not None
        and delegation.kind is DelegationKind.APPLICATION_CREDENTIAL
        and not delegation.unrestricted
    ):
        raise Forbidden(
            "Using method 'application_credential' is not allowed for managing additional credentials or trusts."
        )


def expect_reach(caller: Caller, project_id: str | None) -> None:
    """Raises `Forbidden` where the token does not reach."""
    if not reaches(caller, project_id):
        raise Forbidden("Credential project does not match the project scope of the delegated token.")


def reaches(caller: Caller, project_id: str | None) -> bool:
    """Whether secrets for that project are within what the token was made for; one's own sign-in reaches everything."""
    return caller.delegation is None or caller.project_id == project_id


def may_see(caller: Caller, domain_id: str | None) -> bool:
    """Whether the caller may look at what is in that domain; None: it is in none, or it is not there."""
    return caller.oversees or (_holds_domain(caller, domain_id) and not _READERS.isdisjoint(caller.roles))


def may_change(caller: Caller, domain_id: str | None) -> bool:
    """Whether the caller may change what is in that domain."""
    return caller.is_admin or (_holds_domain(caller, domain_id) and "manager" in caller.roles)


def expect_sight(caller: Caller, *domain_ids: str | None) -> None:
    """Raises `Forbidden` unless the caller may look at what is in each of the domains."""
    if not all(may_see(caller, each) for each in domain_ids):
        raise Forbidden("You are not authorized to perform this: it is someone else's, or of another domain.")


def expect_command(caller: Caller, *domain_ids: str | None) -> None:
    """Raises `Forbidden` unless the caller may change what is in each of the domains."""
    if not all(may_change(caller, each) for each in domain_ids):
        raise Forbidden("You are not authorized to perform this: it is not of the domain that your token is for.")


def _holds_domain(caller: Caller, domain_id: str | None) -> bool:
    return caller.domain_id is not None and caller.domain_id == domain_id
