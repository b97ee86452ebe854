"""Was this proposal applied before? The envelope round each payload, and the ids of the newest entries.

A proposer that hears nothing proposes again, so the log may hold one request several times. Each entry carries the
request's id and the index that its proposer had applied when it first asked. The table holds the ids of the newest
`WINDOW` entries, and an entry whose first attempt may lie before that is refused: so a request acts at most once,
however late its retry, and every node decides alike.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from noded.core.unreadable import UNREADABLE

REQUEST_ID_BYTES: Final = 12
WINDOW: Final = 20_000
_FORMAT: Final = 1
_IDS_PER_BLOCK: Final = 5000


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """One entry's content. `base` is the index below which the request can't be in the log."""

    format: int
    request_id: bytes
    base: int
    payload: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode
_decode_ids = msgspec.msgpack.Decoder(list[tuple[bytes, int]]).decode


def seal(request_id: bytes, base: int, payload: bytes) -> bytes:
    """The content of an entry."""
    return _encode(Envelope(_FORMAT, request_id, base, payload))


def unseal(content: bytes) -> Envelope | None:
    """The envelope, or None if this release can't read it."""
    try:
        envelope = _decode(content)
    except UNREADABLE:
        return None
    return envelope if envelope.format == _FORMAT else None


class Requests:
    """The ids of the requests among the newest entries applied."""

    def __init__(self) -> None:
        self._ids: OrderedDict[bytes, int] = OrderedDict()

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def admit(self, index: int, envelope: Envelope) -> bool:
        """Whether the entry at `index` acts; then its id is remembered."""
        if envelope.request_id in self._ids or index - envelope.base > WINDOW:
            return False
        self._ids[envelope.request_id] = index
        while next(iter(self._ids.values())) <= index - WINDOW:
            self._ids.popitem(last=False)
        return True

    def capture(self) -> list[tuple[bytes, int]]:
        """A copy for a checkpoint."""
        return list(self._ids.items())

    def replace(self, blocks: list[bytes]) -> None:
        """Become what a checkpoint says."""
        self._ids = OrderedDict(pair for block in blocks for pair in _decode_ids(block))


def encode_ids(ids: list[tuple[bytes, int]]) -> Iterator[bytes]:
    """What `capture` returned, as blocks."""
    for start in range(0, len(ids), _IDS_PER_BLOCK):
        yield _encode(ids[start : start + _IDS_PER_BLOCK])
