"""Where is this node's checkpoint, and how does it travel to a follower that lags too far for the log?

It is sent in chunks from one open file, so that a newer checkpoint may replace it meanwhile. It is received beside the
own one, and takes its place only when it is whole.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from consensus.host.checkpoint import Header, put_in_place, read_header, verify
from consensus.host.seams import Node

CHUNK_BYTES: Final = 256 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a checkpoint file, in order."""

    data: bytes
    first: bool
    last: bool


@dataclass(slots=True)
class _Sending:
    file: BinaryIO
    index: int
    started: bool = False


class Shelf:
    """The checkpoint file of one node, with those on their way to others and from them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._incoming_path = path.with_name(f".{path.name}.incoming")
        self._incoming: BinaryIO | None = None
        self._source: Node | None = None
        self._sending: dict[Node, _Sending] = {}
        self.drop_incoming()

    def header(self) -> Header | None:
        """The header of the checkpoint, if there is one. Raises CheckpointRefused."""
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            return read_header(file)

    # -- to followers

    def is_sending(self, node: Node) -> bool:
        """Whether that node has got a part and waits for the rest."""
        return node in self._sending

    def next_chunk(self, node: Node) -> Chunk | None:
        """What to send next, if there is a checkpoint. After the last chunk `sent_index` says what was inside."""
        sending = self._sending.get(node)
        if sending is None:
            if not self.path.exists():
                return None
            file = self.path.open("rb")
            header = read_header(file)
            file.seek(0)
            sending = self._sending[node] = _Sending(file, header.index)
        data = sending.file.read(CHUNK_BYTES)
        first, sending.started = not sending.started, True
        return Chunk(data, first, last=len(data) < CHUNK_BYTES)

    def finish_sending(self, node: Node) -> int:
        """The index of the newest entry in what was sent."""
        index = self._sending[node].index
        self.stop_sending(node)
        return index

    def stop_sending(self, node: Node) -> None:
        """The link broke, or all is sent: the next chunk for this node is a first one."""
        if (sending := self._sending.pop(node, None)) is not None:
            sending.file.close()

    # -- from the leader

    def receive(self, source: Node, chunk: Chunk) -> bool:
        """Keep a chunk; True when it was the last. A piece that continues nothing is dropped."""
        try:
            if chunk.first:
                self.drop_incoming()
                self._incoming = self._incoming_path.open("wb")
                self._source = source
            if self._incoming is None or self._source != source:
                return False
            self._incoming.write(chunk.data)
        except OSError as error:
            log.warning("checkpoint can't be received", reason=str(error))
            self.drop_incoming()
            return False
        return chunk.last

    def adopt_incoming(self, newer_than: int) -> Header | None:
        """Make what was received this node's checkpoint, if it is newer than that; for a worker thread.

        Raises CheckpointRefused, OSError.
        """
        assert self._incoming is not None, "nothing was received"
        try:
            self._incoming.flush()
            os.fsync(self._incoming.fileno())
            header = verify(self._incoming_path)
            if header.index <= newer_than:
                return None
            put_in_place(self._incoming_path, self.path)
            return header
        finally:
            self.drop_incoming()

    def drop_incoming(self) -> None:
        """Forget what was received."""
        if self._incoming is not None:
            self._incoming.close()
        self._incoming = self._source = None
        self._incoming_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close every file."""
        self.drop_incoming()
        for node in list(self._sending):
            self.stop_sending(node)
