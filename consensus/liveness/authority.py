"""Answers other nodes' rounds."""

import msgspec

from consensus.liveness.links import Rounds
from consensus.liveness.model import Exchange
from noded.core.service import PeerContext, PeerHandler


async def _exchange(context: PeerContext, payload: bytes) -> bytes:
    question = msgspec.msgpack.decode(payload, type=Exchange)
    return msgspec.msgpack.encode(context.drivers.get(Rounds).answer(question))


PEER_CALLS: dict[str, PeerHandler] = {"liveness.exchange": _exchange}
"""The peer calls of liveness."""
