"""Measures this node, and takes an operator's word on who may read what it measures."""

import hashlib

import msgspec

from consensus.members.model import Node, NodeRole
from noded.core.clock import now_ms
from noded.core.dice import new_hex_id
from noded.core.metric import Metric
from noded.core.service import PeerContext, PeerHandler
from noded.inspection.links import Registry
from noded.metrics.commands import DropScrapeKey, SetScrapeKey
from noded.metrics.views import text_of

READ = "metrics.read"


async def _read(context: PeerContext, _payload: bytes) -> bytes:
    """All that this node measures, as text. A witness has neither disks nor guests to measure."""
    node = context.cluster.view().get(Node, context.cluster.node_id)
    is_witness = node is not None and node.role is NodeRole.WITNESS
    found: list[Metric] = []
    for service in context.drivers.get(Registry).services:
        if not is_witness or service.name.startswith(("consensus.", "noded.")):
            for measure in service.measures:
                found += await measure(context)
    return text_of(found).encode()


async def _make_key(context: PeerContext, _payload: bytes) -> bytes:
    """A new key, told this once."""
    key = new_hex_id() + new_hex_id()
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    await context.cluster.propose(SetScrapeKey(sha256=sha256, now_ms=now_ms()))
    return msgspec.msgpack.encode({"key": key})


async def _drop_key(context: PeerContext, _payload: bytes) -> bytes:
    await context.cluster.propose(DropScrapeKey())
    return msgspec.msgpack.encode({"key": None})


PEER_CALLS: dict[str, PeerHandler] = {READ: _read}
LOCAL_CALLS: dict[str, PeerHandler] = {"metrics.make_key": _make_key, "metrics.drop_key": _drop_key}
