"""What does an NBD client say, and what is it answered? The server's side of the protocol, without I/O.

Fixed newstyle handshake, simple replies, requests answered in any order (NetworkBlockDevice/nbd, doc/proto.md). A
request carries at most 1 MiB of data, as the client is told; any byte range may be asked for, whole blocks are faster.
"""

import struct
from collections.abc import Callable
from enum import Enum
from errno import EINVAL, ENOSPC, EPERM
from functools import partial
from typing import Final, Protocol

from storage.extents.serving import Buffer

REQUEST_BYTES_MAX: Final = 1 << 20
OPTION_BYTES_MAX: Final = 4096
PREFERRED_BYTES: Final = 4096

_GREETING: Final = struct.pack(">8s8sH", b"NBDMAGIC", b"IHAVEOPT", 3)  # fixed newstyle, no zeroes
_OPTION: Final = struct.Struct(">8sII")
_OPTION_REPLY: Final = struct.Struct(">QIII")
_OPTION_REPLY_MAGIC: Final = 0x3E889045565A9
_REQUEST: Final = struct.Struct(">IHHQQI")
_REQUEST_MAGIC: Final = 0x25609513
_REPLY: Final = struct.Struct(">IIQ")
_REPLY_MAGIC: Final = 0x67446698

_EXPORT_NAME, _ABORT, _LIST, _INFO, _GO = 1, 2, 3, 6, 7
_ACK, _SERVER, _INFORMATION = 1, 2, 3
_UNSUPPORTED, _INVALID, _UNKNOWN = (1 << 31) + 1, (1 << 31) + 3, (1 << 31) + 6
_INFO_EXPORT, _INFO_BLOCK_SIZE = 0, 3
_HAS_FLAGS, _READ_ONLY, _FLUSH, _FUA, _TRIM, _WRITE_ZEROES, _MULTI_CONN = 1, 2, 4, 8, 32, 64, 256
READ, WRITE, DISCONNECT, FLUSH, TRIM, WRITE_ZEROES = 0, 1, 2, 3, 4, 6
_ZEROING: Final = frozenset((TRIM, WRITE_ZEROES))


class BadRequest(Exception):  # noqa: N818
    """The client does not speak NBD, or more of it than is served here; the connection ends."""


class Backend(Protocol):
    """Carries out requests; `done` gets an errno (0: it went well), and for a read the bytes (None: all zero)."""

    size_bytes: int
    writable: bool

    def read(self, offset: int, length: int, done: Callable[[int, Buffer | None], None]) -> None: ...
    def update(self, offset: int, length: int, data: Buffer | None, done: Callable[[int], None]) -> None:
        """Write bytes, or (`data` None) zeroes."""


class _State(Enum):
    FLAGS = 1
    OPTIONS = 2
    SERVING = 3
    ENDED = 4


class NbdSession:
    """One client. `out` takes what is to be sent to it; `wrote` is called whenever something was put there."""

    def __init__(self, name: str, backend: Backend, out: list[Buffer], wrote: Callable[[], None]) -> None:
        self._name = name.encode()
        self._backend = backend
        self._out = out
        self._wrote = wrote
        self._state = _State.FLAGS
        self.pending = 0  # requests that are not answered yet
        out.append(_GREETING)

    @property
    def ended(self) -> bool:
        """Whether the client has said goodbye."""
        return self._state is _State.ENDED

    def receive(self, view: memoryview, start: int, end: int) -> int:
        """Take all that is whole of `view[start:end]`; where the rest begins. Raises BadRequest."""
        while (after := self._step(view, start, end)) > start:
            start = after
        return start

    def _step(self, view: memoryview, start: int, end: int) -> int:
        """Take one message; where the next begins, or `start` if it is not whole yet."""
        if self._state is _State.SERVING:
            return self._request(view, start, end)
        if self._state is _State.OPTIONS:
            return self._option(view, start, end)
        if self._state is _State.FLAGS and end - start >= 4:
            self._state = _State.OPTIONS
            return start + 4
        return start

    # --- the handshake

    def _option(self, view: memoryview, start: int, end: int) -> int:
        if end - start < _OPTION.size:
            return start
        magic: bytes
        option: int
        length: int
        magic, option, length = _OPTION.unpack_from(view, start)
        if magic != b"IHAVEOPT" or length > OPTION_BYTES_MAX:
            raise BadRequest("no option of a newstyle handshake")
        stop = start + _OPTION.size + length
        if stop > end:
            return start
        data = bytes(view[start + _OPTION.size : stop])
        if option == _EXPORT_NAME:
            self._export_name(data)
        elif option in (_INFO, _GO):
            self._go(option, data)
        elif option == _LIST:
            self._reply(option, _SERVER, struct.pack(">I", len(self._name)) + self._name)
            self._reply(option, _ACK)
        elif option == _ABORT:
            self._reply(option, _ACK)
            self._state = _State.ENDED
        else:
            self._reply(option, _UNSUPPORTED)
        self._wrote()
        return stop

    def _export_name(self, name: bytes) -> None:
        if name not in (self._name, b""):
            raise BadRequest("no export of that name")
        self._out.append(struct.pack(">QH", self._backend.size_bytes, self._flags()))
        self._state = _State.SERVING

    def _go(self, option: int, data: bytes) -> None:
        length = int.from_bytes(data[:4], "big")
        if len(data) < 6 + length:
            self._reply(option, _INVALID)
            return
        if data[4 : 4 + length] not in (self._name, b""):
            self._reply(option, _UNKNOWN)
            return
        export = struct.pack(">HQH", _INFO_EXPORT, self._backend.size_bytes, self._flags())
        sizes = struct.pack(">HIII", _INFO_BLOCK_SIZE, 1, PREFERRED_BYTES, REQUEST_BYTES_MAX)
        self._reply(option, _INFORMATION, export)
        self._reply(option, _INFORMATION, sizes)
        self._reply(option, _ACK)
        if option == _GO:
            self._state = _State.SERVING

    def _flags(self) -> int:
        flags = _HAS_FLAGS | _FLUSH | _FUA | _TRIM | _WRITE_ZEROES | _MULTI_CONN
        return flags if self._backend.writable else _HAS_FLAGS | _READ_ONLY | _MULTI_CONN

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        self._out.append(_OPTION_REPLY.pack(_OPTION_REPLY_MAGIC, option, kind, len(data)) + data)

    # --- requests

    def _request(self, view: memoryview, start: int, end: int) -> int:
        if end - start < _REQUEST.size:
            return start
        magic, _flags, kind, handle, offset, length = _REQUEST.unpack_from(view, start)
        if magic != _REQUEST_MAGIC:
            raise BadRequest("no NBD request")
        stop = start + _REQUEST.size
        if kind == WRITE:
            if length > REQUEST_BYTES_MAX:
                raise BadRequest(f"a write of {length} bytes")
            stop += length
            if stop > end:
                return start
        if kind == DISCONNECT:
            self._state = _State.ENDED
            return stop
        self.pending += 1
        error = self._check(kind, offset, length)
        if error:
            self._answer(handle, error)
        elif kind == READ:
            self._backend.read(offset, length, partial(self._answer_read, handle, length))
        elif kind == WRITE:
            data = bytes(view[start + _REQUEST.size : stop])
            self._backend.update(offset, length, data, partial(self._answer, handle))
        elif kind in _ZEROING:
            self._backend.update(offset, length, None, partial(self._answer, handle))
        else:  # a flush: every write that was answered is on stable storage already
            self._answer(handle, 0)
        return stop

    def _check(self, kind: int, offset: int, length: int) -> int:
        if kind == FLUSH:
            return 0
        if kind not in (READ, WRITE, TRIM, WRITE_ZEROES):
            return EINVAL
        if kind != READ and not self._backend.writable:
            return EPERM
        if offset + length > self._backend.size_bytes:
            return EINVAL if kind == READ else ENOSPC
        if length == 0 or (kind == READ and length > REQUEST_BYTES_MAX):
            return EINVAL
        return 0

    def _answer(self, handle: int, error: int) -> None:
        self.pending -= 1
        self._out.append(_REPLY.pack(_REPLY_MAGIC, error, handle))
        self._wrote()

    def _answer_read(self, handle: int, length: int, error: int, data: Buffer | None) -> None:
        self.pending -= 1
        self._out.append(_REPLY.pack(_REPLY_MAGIC, error, handle))
        if not error:
            self._out.append(bytes(length) if data is None else data)
        self._wrote()
