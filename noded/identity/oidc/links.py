"""What federation asks of the outside: is this token a provider's, and what does it say?"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from noded.identity.providers import OidcSettings


class OidcTokens(Protocol):
    """Checks tokens of OpenID Connect providers; fetches from them what that takes, within limits."""

    async def claims(self, issuers: Sequence[str], settings: OidcSettings, token: str) -> Mapping[str, Any]:
        """What a valid token says.

        `issuers`: whose tokens count. Raises `Unauthenticated` for a token that does not count, and `Unavailable` if
        the provider can't be asked.
        """
