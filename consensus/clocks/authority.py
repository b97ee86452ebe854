"""Tells other nodes what time it is here."""

import msgspec

from noded.core.clock import now_ms
from noded.core.service import PeerContext, PeerHandler


async def _tell(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(now_ms())


PEER_CALLS: dict[str, PeerHandler] = {"clocks.tell": _tell}
"""The peer calls of clocks."""
