"""What may be done with a token that was made through a delegation? Pure."""

from noded.core.errors import Forbidden
from noded.core.route import Caller, DelegationKind


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
