"""What a consumer and a request token are, and how a consumer's request proves itself (RFC 5849). Pure.

The secrets are keys of signatures, so they can't be hashed.
"""

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final
from urllib.parse import quote, unquote

import msgspec

from noded.core.errors import Invalid, Unauthenticated
from noded.core.record import Record
from noded.identity.model import Extra

_PAIR: Final = re.compile(r'\s*([A-Za-z0-9_]+)="([^"]*)"\s*')
_HASHES: Final = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}
_NO: Final = "The OAuth signature is not right."


class Consumer(Record, frozen=True, kw_only=True, tag="oauth_consumer.1"):
    """A program of a third party."""

    NOUN: ClassVar[str] = "consumer"

    id: str
    secret: str
    description: str | None = None
    extra: Extra = msgspec.field(default_factory=dict)


class RequestToken(Record, frozen=True, kw_only=True, tag="oauth_request.1"):
    """A consumer asks for a project. `verifier`: what the user who authorized it was told, and must pass on."""

    INDEXED: ClassVar[tuple[str, ...]] = ("consumer_id", "project_id", "user_id")
    NOUN: ClassVar[str] = "request token"

    id: str
    consumer_id: str
    project_id: str
    secret: str
    expires_ms: int
    user_id: str | None = None  # who authorized it
    verifier: str | None = None
    role_ids: tuple[str, ...] = ()


def read_header(headers: Mapping[str, str]) -> dict[str, str]:
    """The parameters of an `Authorization: OAuth …` header; raises `Invalid`."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "oauth":
        raise Invalid("An `Authorization: OAuth …` header is needed here.")
    found: dict[str, str] = {}
    for piece in rest.split(","):
        pair = _PAIR.fullmatch(piece)
        if pair is None:
            raise Invalid('The `Authorization: OAuth …` header can\'t be read: it holds name="value" pairs.')
        found[unquote(pair[1])] = unquote(pair[2])
    return found


def needed(parameters: Mapping[str, str], name: str) -> str:
    """A parameter of the header; raises `Invalid` when it is not there."""
    value = parameters.get(name, "")
    if not value:
        raise Invalid(f"The `Authorization: OAuth …` header has no {name}.")
    return value


def expect_signed(
    parameters: Mapping[str, str], verb: str, url: str, query: Sequence[tuple[str, str]], secrets: tuple[str, str]
) -> None:
    """Raises `Unauthenticated` unless who knows both secrets (the consumer's, the token's) signed the request."""
    digest = _HASHES.get(needed(parameters, "oauth_signature_method"))
    if digest is None:
        raise Invalid(f"Signatures of these kinds are understood: {', '.join(_HASHES)}.")
    signed = [(name, value) for name, value in parameters.items() if name not in ("oauth_signature", "realm")]
    pairs = sorted((_escaped(name), _escaped(value)) for name, value in [*signed, *query])
    text = "&".join(f"{name}={value}" for name, value in pairs)
    base = "&".join((verb.upper(), _escaped(url), _escaped(text)))
    key = "&".join(_escaped(secret) for secret in secrets)
    wanted = base64.b64encode(hmac.new(key.encode(), base.encode(), digest).digest()).decode()
    if not hmac.compare_digest(wanted.encode(), parameters.get("oauth_signature", "").encode()):
        raise Unauthenticated(_NO)


def _escaped(text: str) -> str:
    return quote(text, safe="-._~")
