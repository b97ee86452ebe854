"""What the certificates' reconciler asks of this node."""

from collections.abc import Sequence
from typing import Protocol

from consensus.authority import Authority


class Certificates(Protocol):
    """This node's certificates on disk and in the contexts that show them. `host/certificates.py` does."""

    async def keep(self, authority: Authority, trusted: Sequence[bytes]) -> bool:
        """Trust these authorities' certificates and no others, and sign anew what `authority` did not sign, what is
        getting old, or what names other addresses. Whether anything was changed."""
