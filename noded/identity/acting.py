"""What may a token do that was made through a delegation? Follows trusts, application credentials, OAuth tokens. Pure.

In each case no more than who gave it may do now.
"""

import dataclasses
from typing import Final

from noded.core.errors import Forbidden, Unauthenticated
from noded.core.route import AccessRule, Delegation, DelegationKind
from noded.core.store import View
from noded.identity.delegations import AccessToken, ApplicationCredential, Trust, pedigree, rules_of
from noded.identity.model import Scope
from noded.identity.standing import Standing, active_user, roles_of, standing_of, with_implied

_NO: Final = "The request you have made requires authentication."


def standing_through(view: View, kind: DelegationKind, id: str, user_id: str) -> Standing:
    """The standing of who acts through it; `user_id`: who signed in for that.

    Raises `Unauthenticated` when it is gone, and `Forbidden` when who gave it no longer holds what they gave.
    """
    if kind is DelegationKind.TRUST:
        return _by_trust(view, view.get(Trust, id), user_id)
    if kind is DelegationKind.APPLICATION_CREDENTIAL:
        credential = view.get(ApplicationCredential, id)
        if credential is None or credential.user_id != user_id:
            raise Unauthenticated(_NO)
        whole = standing_of(view, credential.user_id, Scope.PROJECT, credential.project_id)
        return _narrowed(view, whole, credential.role_ids, credential)
    access = view.get(AccessToken, id)
    if access is None or access.user_id != user_id:
        raise Unauthenticated(_NO)
    whole = standing_of(view, access.user_id, Scope.PROJECT, access.project_id)
    return _narrowed(view, whole, access.role_ids, access)


def delegation_of(view: View, standing: Standing) -> Delegation | None:
    """Through what the standing came to be, as the gateway and handlers see it."""
    through = standing.through
    if through is None:
        return None
    if isinstance(through, Trust):
        return Delegation(kind=DelegationKind.TRUST, id=through.id)
    if isinstance(through, AccessToken):
        return Delegation(kind=DelegationKind.ACCESS_TOKEN, id=through.id)
    rules = tuple(AccessRule(service=rule.service, verb=rule.verb, path=rule.path) for rule in rules_of(view, through))
    return Delegation(
        kind=DelegationKind.APPLICATION_CREDENTIAL,
        id=through.id,
        unrestricted=through.unrestricted,
        rules=rules or None,
    )


def _narrowed(
    view: View, whole: Standing, role_ids: tuple[str, ...], through: ApplicationCredential | AccessToken
) -> Standing:
    """What was given, as far as it is still held."""
    given = {role.id for role in with_implied(view, role_ids)}
    roles = tuple(role for role in whole.roles if role.id in given)
    if not roles:
        raise Unauthenticated(_NO)
    return dataclasses.replace(whole, roles=roles, through=through)


def _by_trust(view: View, trust: Trust | None, user_id: str) -> Standing:
    if trust is None:
        raise Unauthenticated(_NO)
    if trust.trustee_user_id != user_id:
        raise Forbidden("User is not a trustee.")
    trustee, trustee_domain = active_user(view, trust.trustee_user_id)
    for each in pedigree(view, trust):
        _expect_active(view, each.trustor_user_id)
    user, domain = active_user(view, trust.trustor_user_id) if trust.impersonation else (trustee, trustee_domain)
    if trust.project_id is None:
        return Standing(user=user, user_domain=domain, scope=Scope.NONE, through=trust)
    first = pedigree(view, trust)[-1]
    held = roles_of(view, first.trustor_user_id, Scope.PROJECT, trust.project_id)
    if not {role.id for role in held}.issuperset(trust.role_ids):
        raise Forbidden("Trustee has no delegated roles.")
    whole = standing_of(view, first.trustor_user_id, Scope.PROJECT, trust.project_id)
    given = {role.id for role in with_implied(view, trust.role_ids)}
    return dataclasses.replace(
        whole,
        user=user,
        user_domain=domain,
        roles=tuple(role for role in whole.roles if role.id in given),
        through=trust,
    )


def _expect_active(view: View, user_id: str) -> None:
    try:
        active_user(view, user_id)
    except Unauthenticated:
        raise Forbidden("Trustor is disabled.") from None
