"""What the operator's certificates ask of this node."""

from typing import Protocol


class ApiFace(Protocol):
    """Which certificate the API shows to whom. `host/api_face.py` is it."""

    async def show(self, own: tuple[str, str] | None) -> bool:
        """Show this chain, with this key (both PEM), to who asks for a name in it; None: the cluster's to all.

        It counts from the next handshake on. Whether that is something new."""
