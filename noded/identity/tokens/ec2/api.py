"""Answers /ec2tokens and /s3tokens."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from noded.core.clock import now_ms
from noded.core.errors import Forbidden, Invalid, NotFound, Unauthenticated
from noded.core.route import Allow, DelegationKind, Request, Response, Route
from noded.core.store import View
from noded.gateway.freshness import freshest_view
from noded.identity.acting import standing_through
from noded.identity.credentials.model import Credential, Ec2Blob, ec2_blob, ec2_id
from noded.identity.delegations import Trust
from noded.identity.model import Scope
from noded.identity.signatures import SignedRequest, is_signed, is_signed_for_s3, signed_at
from noded.identity.standing import Standing, active_user, standing_of
from noded.identity.tokens.issuing import TOKEN_LIFE_MS, Proof, issue

SIGNATURE_LIFE_MS: Final = 15 * 60_000  # as Keystone's default
_NO: Final = "The request you have made requires authentication."
_FORMS: Final = ("%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S")


class Ec2Body(msgspec.Struct, frozen=True):
    """The signed request, under any of the names that clients have used."""

    credentials: SignedRequest | None = None
    credential: SignedRequest | None = None
    ec2_credentials: SignedRequest | None = msgspec.field(default=None, name="ec2Credentials")


class SignedForS3(msgspec.Struct, frozen=True):
    """An access key, what was signed (in base64, as the client's words for it), and the signature."""

    access: str
    signature: str
    token: str

    def __repr__(self) -> str:
        return f"SignedForS3(access={self.access!r})"


class S3Body(msgspec.Struct, frozen=True):
    """`{"credentials": {...}}`."""

    credentials: SignedForS3


async def issue_ec2_token(request: Request) -> Response:
    """POST /ec2tokens: for services, which pass on what their client signed."""
    if request.caller.roles.isdisjoint({"admin", "service"}):
        raise Forbidden("You are not authorized to perform this: it needs the role service.")
    body = await request.json(Ec2Body)
    signed = body.credentials or body.credential or body.ec2_credentials
    if signed is None:
        raise Unauthenticated("EC2 signature not supplied.")
    view = await freshest_view(request.cluster)
    credential = view.get(Credential, ec2_id(signed.access))
    blob = None if credential is None else ec2_blob(credential)
    if credential is None or blob is None or credential.project_id is None:
        raise NotFound("EC2 access key not found.")
    if not signed.signature or not is_signed(signed, blob.secret):
        raise Unauthenticated("Invalid EC2 signature.")
    now = now_ms()
    _expect_young(signed, now)
    standing, user_id = _standing(view, credential, blob)
    user, _ = active_user(view, user_id)
    proof = Proof(user=user, methods=("ec2credential",), expires_ms=now + TOKEN_LIFE_MS)
    return issue(request, proof, standing)


async def issue_s3_token(request: Request) -> Response:
    """POST /s3tokens: for a service with S3's API, which passes on what its client signed, and the signature."""
    if request.caller.roles.isdisjoint({"admin", "service"}):
        raise Forbidden("You are not authorized to perform this: it needs the role service.")
    signed = (await request.json(S3Body)).credentials
    view = await freshest_view(request.cluster)
    credential = view.get(Credential, ec2_id(signed.access))
    blob = None if credential is None else ec2_blob(credential)
    if credential is None or blob is None or credential.project_id is None:
        raise NotFound("EC2 access key not found.")
    if not signed.signature or not is_signed_for_s3(signed.token, signed.signature, blob.secret):
        raise Unauthenticated("Credential signature mismatch.")
    standing, user_id = _standing(view, credential, blob)
    user, _ = active_user(view, user_id)
    proof = Proof(user=user, methods=("ec2credential",), expires_ms=now_ms() + TOKEN_LIFE_MS)
    return issue(request, proof, standing)


def _standing(view: View, credential: Credential, blob: Ec2Blob) -> tuple[Standing, str]:
    """What the pair opens, and who signs in for it: what it was made through says so."""
    if blob.trust_id is not None:
        trust = view.get(Trust, blob.trust_id)
        if trust is None:
            raise Unauthenticated(_NO)
        return standing_through(view, DelegationKind.TRUST, trust.id, trust.trustee_user_id), trust.trustee_user_id
    kinds = (
        (DelegationKind.APPLICATION_CREDENTIAL, blob.app_cred_id),
        (DelegationKind.ACCESS_TOKEN, blob.access_token_id),
    )
    for kind, id in kinds:
        if id is not None:
            standing = standing_through(view, kind, id, credential.user_id)
            if standing.project is None or standing.project.id != credential.project_id:
                raise Unauthenticated("The EC2 credential is for another project than what it was made through.")
            return standing, credential.user_id
    assert credential.project_id is not None
    return standing_of(view, credential.user_id, Scope.PROJECT, credential.project_id), credential.user_id


def _expect_young(signed: SignedRequest, now: int) -> None:
    text = signed_at(signed)
    if text is None:
        return
    for form in _FORMS:
        try:
            moment = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if now > moment.timestamp() * 1000 + SIGNATURE_LIFE_MS:
            raise Unauthenticated("Credential is expired.")
        return
    raise Invalid(f"Credential timestamp is invalid: {text[:64]}.")


ROUTES = (
    Route(verb="POST", path="/ec2tokens", handler=issue_ec2_token, allow=Allow.ANY_TOKEN),
    Route(verb="POST", path="/s3tokens", handler=issue_s3_token, allow=Allow.ANY_TOKEN),
)
