"""Which builds of the log are broken on purpose, so that it shows whether the fault tests would notice?"""

import trio

from consensus.host.disk import DISK, Disk
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

FORGETFUL = (NO_FSYNC, STOCK)  # these may lose so much that they never serve again


class HastyNode(RaftNode):
    """Promises first and syncs afterwards."""

    def post(self, node_id: str, message: object, *, when_durable: bool) -> None:
        self._links.post(node_id, encode(message))

    async def _sync(self) -> bool:
        await trio.sleep(0)
        return await super()._sync()


def node_class(build: str) -> type[RaftNode]:
    """Which class of node to run."""
    return HastyNode if build == EARLY_ACK else RaftNode


def disk(build: str) -> Disk:
    """Which disk it writes to."""
    return Disk(fdatasync=_do_not) if build == NO_FSYNC else DISK


def _do_not(_file: int) -> None:
    """Nothing becomes durable."""
