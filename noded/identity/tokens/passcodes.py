"""Which six digits does an authenticator show now? Time-based passwords (RFC 6238: SHA-1, 30 s, 6 digits). Pure.

The secret is the blob of a credential of type `totp`, in base32 as authenticators take it.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable
from typing import Final

from noded.core.store import View
from noded.identity.credentials.model import Credential

TOTP: Final = "totp"
PERIOD_MS: Final = 30_000
DIGITS: Final = 6
EARLIER_TAKEN: Final = 1  # the passcode before is taken too: people type slowly, and clocks differ


def passcode(secret: str, now_ms: int) -> str | None:
    """The passcode of that moment; None if the secret is no base32."""
    compact = secret.replace(" ", "").rstrip("=").upper()
    try:
        key = base64.b32decode(compact + "=" * (-len(compact) % 8))
    except (binascii.Error, ValueError):
        return None
    digest = hmac.digest(key, (now_ms // PERIOD_MS).to_bytes(8, "big"), "sha1")
    at = digest[-1] & 0x0F
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def is_right(view: View, user_id: str, given: str, now_ms: int) -> bool:
    """Whether it is a passcode of one of the user's authenticators, of now or of just before."""
    moments = [now_ms - back * PERIOD_MS for back in range(EARLIER_TAKEN + 1)]
    shown = (passcode(secret, moment) for secret in _secrets(view, user_id) for moment in moments)
    return any(code is not None and hmac.compare_digest(code.encode(), given.encode()) for code in shown)


def _secrets(view: View, user_id: str) -> Iterable[str]:
    return (each.blob for each in view.find(Credential, "user_id", user_id) if each.type == TOTP)
