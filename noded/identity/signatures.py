"""Did who holds an EC2 secret sign this request? Amazon's signature versions 0, 1, 2 and 4, as EC2's clients make them.

(AWS General Reference, "Signing AWS API requests"; Identity API v3, OS-EC2 "ec2tokens".) Pure.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

_EMPTY_HASH: Final = hashlib.sha256(b"").hexdigest()


class SignedRequest(msgspec.Struct, frozen=True):
    """What was signed, as the service that got the request tells it."""

    access: str
    signature: str = ""
    host: str = ""
    verb: str = ""
    path: str = ""
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    headers: dict[str, Any] = msgspec.field(default_factory=dict)
    body_hash: str = ""

    def __repr__(self) -> str:
        return f"SignedRequest(access={self.access!r})"


def is_signed(request: SignedRequest, secret: str) -> bool:
    """Whether the signature is the secret's. Some clients leave the port out of what they sign."""
    hosts = (request.host, request.host.rsplit(":", 1)[0]) if ":" in request.host else (request.host,)
    given = request.signature.encode()
    return any(
        hmac.compare_digest(_signature(msgspec.structs.replace(request, host=host), secret).encode(), given)
        for host in hosts
    )


def is_signed_for_s3(token: str, signature: str, secret: str) -> bool:
    """Whether the signature of what S3's client signed, given in base64, is the secret's (Signature Version 2 or 4)."""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except ValueError:
        return False
    lines = text.split("\n")
    if lines[0] != "AWS4-HMAC-SHA256":
        wanted = _base64_hmac(secret.encode(), text, "sha1")
    else:
        scope = lines[2].split("/") if len(lines) > 2 else []
        if len(scope) != 4 or scope[2] != "s3":
            return False
        wanted = hmac.new(_key_v4(secret, scope), text.encode(), "sha256").hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())


def signed_at(request: SignedRequest) -> str | None:
    """The time that the client signed with, as text; None if it left it off."""
    found = request.params.get("Timestamp") or _header(request, "X-Amz-Date") or request.params.get("X-Amz-Date")
    return None if found is None else str(found)


def _signature(request: SignedRequest, secret: str) -> str:
    version = str(request.params.get("SignatureVersion", ""))
    key = secret.encode()
    if version == "0":
        text = str(request.params.get("Action", "")) + str(request.params.get("Timestamp", ""))
        return _base64_hmac(key, text, "sha1")
    if version == "1":
        pairs = sorted(request.params.items(), key=lambda pair: pair[0].lower())
        return _base64_hmac(key, "".join(f"{name}{value}" for name, value in pairs), "sha1")
    if version == "2":
        digest = "sha256" if request.params.get("SignatureMethod") == "HmacSHA256" else "sha1"
        text = f"{request.verb}\n{request.host}\n{request.path}\n{_query(request.params)}"
        return _base64_hmac(key, text, digest)
    return _signature_v4(request, secret)


def _signature_v4(request: SignedRequest, secret: str) -> str:
    authorization = str(_header(request, "Authorization") or "")
    parts = dict(
        piece.strip().partition("=")[::2] for piece in authorization.partition(" ")[2].split(",") if "=" in piece
    )
    credential = parts.get("Credential") or str(request.params.get("X-Amz-Credential", ""))
    signed_headers = parts.get("SignedHeaders") or str(request.params.get("X-Amz-SignedHeaders", ""))
    scope = credential.partition("/")[2]
    pieces = scope.split("/")
    if len(pieces) != 4:
        return ""
    moment = str(_header(request, "X-Amz-Date") or request.params.get("X-Amz-Date", ""))
    canonical = "\n".join(
        (
            request.verb,
            request.path,
            "" if request.verb == "POST" else _query(_unsigned(request.params)),
            "".join(f"{name}:{_value(request, name)}\n" for name in signed_headers.split(";")),
            signed_headers,
            request.body_hash or _EMPTY_HASH,
        )
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}"
    return hmac.new(_key_v4(secret, pieces), text.encode(), "sha256").hexdigest()


def _key_v4(secret: str, scope: Iterable[str]) -> bytes:
    key = ("AWS4" + secret).encode()
    for piece in scope:
        key = hmac.new(key, piece.encode(), "sha256").digest()
    return key


def _unsigned(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "X-Amz-Signature"}


def _value(request: SignedRequest, name: str) -> str:
    if name == "host":
        return request.host
    return " ".join(str(_header(request, name) or "").split())


def _header(request: SignedRequest, name: str) -> object | None:
    return next((value for key, value in request.headers.items() if key.lower() == name.lower()), None)


def _query(params: Mapping[str, Any]) -> str:
    pairs = sorted((quote(name, safe="-_~"), quote(str(value), safe="-_~")) for name, value in params.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _base64_hmac(key: bytes, text: str, digest: str) -> str:
    return base64.b64encode(hmac.new(key, text.encode(), digest).digest()).decode()
