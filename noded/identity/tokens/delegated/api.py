"""Who signs in with an application credential or an OAuth access token, and through which trust?"""

from typing import Final

from noded.core.clock import now_ms
from noded.core.errors import Forbidden, Invalid, Unauthenticated
from noded.core.route import DelegationKind, Request
from noded.core.store import View
from noded.identity.acting import standing_through
from noded.identity.delegations import AccessToken, ApplicationCredential, Trust
from noded.identity.links import Passwords
from noded.identity.model import User
from noded.identity.oauth1.model import Consumer, expect_signed, needed, read_header
from noded.identity.standing import Standing, active_user
from noded.identity.tokens.forms import ApplicationProof
from noded.identity.tokens.issuing import TOKEN_LIFE_MS, Proof, ends_ms, kind_of
from noded.identity.trusts.commands import UseTrust

_NO: Final = "The request you have made requires authentication."


async def prove_by_application_credential(request: Request, claimed: ApplicationProof, owner: User | None) -> Proof:
    """Who knows the secret. `owner`: the user that was named beside a credential's name."""
    view = request.cluster.view()
    credential = _meant(view, claimed, owner)
    secret_hash = None if credential is None else credential.secret_hash
    matches = await request.driver(Passwords).matches(secret_hash, claimed.secret, request.cluster.origin.address)
    now = now_ms()
    # Hashing took a while: the credential as it is now counts, and it is not told which of these it was.
    current = None if credential is None else request.cluster.view().get(ApplicationCredential, credential.id)
    if not matches or current is None or _is_over(current, now):
        raise Unauthenticated(_NO)
    user, _ = active_user(request.cluster.view(), current.user_id)
    return Proof(user=user, methods=("application_credential",), expires_ms=now + TOKEN_LIFE_MS, through=current)


def prove_by_oauth(request: Request) -> Proof:
    """Who signed the request with a consumer's and an access token's secrets."""
    view, now = request.cluster.view(), now_ms()
    parameters = read_header(request.headers)
    access = view.get(AccessToken, needed(parameters, "oauth_token"))
    consumer = view.get(Consumer, needed(parameters, "oauth_consumer_key"))
    if access is None or consumer is None or access.consumer_id != consumer.id or access.expires_ms <= now:
        raise Unauthenticated(_NO)
    url = request.base_url + request.path
    expect_signed(parameters, request.verb, url, (), (consumer.secret, access.secret))
    user, _ = active_user(view, access.user_id)
    return Proof(user=user, methods=("oauth1",), expires_ms=now + TOKEN_LIFE_MS, through=access)


async def standing_by(request: Request, proof: Proof, trust_id: str | None) -> Standing:
    """The standing that the proof, or the trust that it asks for, gives. A use of the trust is counted."""
    if proof.through is not None:
        if trust_id is not None:
            raise Forbidden("A trust can't be used by who signed in through a delegation themselves.")
        return standing_through(request.cluster.view(), kind_of(proof.through), proof.through.id, proof.user.id)
    if trust_id is None:
        raise Invalid("Invalid input: a trust is named by `id` - at `$.auth.scope.OS-TRUST:trust`.")
    view = request.cluster.view()
    trust = view.get(Trust, trust_id)
    if trust is None or _is_over(trust, now_ms()):
        raise Unauthenticated(f"Could not find trust: {trust_id[:64]}.")
    standing = standing_through(view, DelegationKind.TRUST, trust.id, proof.user.id)
    if trust.remaining_uses is not None:
        await request.cluster.propose(UseTrust(trust_id=trust.id))
    return standing


def _is_over(delegated: ApplicationCredential | Trust, now: int) -> bool:
    end = ends_ms(delegated)
    return end is not None and end <= now


def _meant(view: View, claimed: ApplicationProof, owner: User | None) -> ApplicationCredential | None:
    if claimed.id is not None:
        return view.get(ApplicationCredential, claimed.id)
    if owner is None:
        return None
    found = view.find(ApplicationCredential, "user_id", owner.id)
    return next((each for each in found if each.name == claimed.name), None)
