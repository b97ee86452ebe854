"""Which builds of the log are broken on purpose, so that it shows whether the fault tests would notice?"""

import os
from functools import partial

import trio

from consensus.host import raft
from consensus.host.journal import Journal
from consensus.host.messages import encode
from consensus.host.raft import RaftNode

SOUND = "sound"
NO_FSYNC = "no-fsync"
EARLY_ACK = "early-ack"
LOCAL_READS = "local-reads"
STOCK = "stock"
BUILDS = {
    SOUND: "the product",
    NO_FSYNC: "the journal is written, and never made durable",
    EARLY_ACK: "what was received is acknowledged before it is durable",
    LOCAL_READS: "reads ask nobody whether they are current",
    STOCK: "pysyncobj as it comes, with its own journal",
}


class HastyNode(RaftNode):
    """Promises first and syncs afterwards."""

    def post(self, node_id: str, message: object, *, when_durable: bool) -> None:
        self._links.post(node_id, encode(message))

    async def _sync(self) -> bool:
        await trio.sleep(0)
        return await super()._sync()


def node_class(build: str) -> type[RaftNode]:
    """The class of node to run; for some builds, after breaking what it uses."""
    if build == NO_FSYNC:
        vars(raft)["Journal"] = partial(Journal, fdatasync=_do_not)
        vars(os)["fsync"] = _do_not
    return HastyNode if build == EARLY_ACK else RaftNode


def _do_not(_file: int) -> None:
    """Nothing becomes durable."""
