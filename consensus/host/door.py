"""How does a knock reach the door, and what keeps strangers from knocking all day? TCP, TLS, limits and time limits.

The handshake itself is `consensus/door.py`; what is said afterwards is `consensus/admission.py`.
"""

import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
import trio

from consensus.admission import Question, Response, encode, read_question, read_response
from consensus.door import MESSAGE_BYTES_MAX, Answerer, Channel, Dialer, DoorClosed, Seed
from consensus.host.frames import FrameReader, StreamEnded
from consensus.host.identity import NodeIdentity
from consensus.host.tls import door_client, door_server, peer_public_key
from consensus.ports import DOOR_PORT
from consensus.throttle import Throttle
from noded.core.ids import NodeId

HANDSHAKE_S_MAX: Final = 10.0
ASK_S_MAX: Final = 15.0
IDLE_S_MAX: Final = 30.0
KNOCKS_MAX: Final = 16  # handshakes under way at once, each some 10 ms of CPU
GUESTS_MAX: Final = 256  # authenticated connections
FAILURES_BURST: Final = 10
FAILURE_REFILL_S: Final = 6.0

BROKEN: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, StreamEnded, DoorClosed)
_LENGTH: Final = struct.Struct(">I")

Respond = Callable[[Channel, Question], Awaitable[Response]]
"""Answers an authenticated node's question."""

log = structlog.get_logger()


class DoorServer:
    """Opens to whoever proves to know the secret, and answers it with `respond`."""

    def __init__(self, seed: Seed, identity: NodeIdentity, state_dir: Path, respond: Respond) -> None:
        self._seed = seed
        self._identity = identity
        self._tls = door_server(state_dir)
        self._respond = respond
        self._throttle = Throttle(FAILURES_BURST, FAILURE_REFILL_S)
        self._knocks = trio.CapacityLimiter(KNOCKS_MAX)
        self._guests = trio.CapacityLimiter(GUESTS_MAX)

    async def serve(
        self,
        addresses: Sequence[str],
        port: int = DOOR_PORT,
        *,
        task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve the door on these addresses until cancelled."""
        listeners = []
        for address in addresses:
            listeners += await trio.open_tcp_listeners(port, host=address)
        await trio.serve_listeners(self._serve_one, listeners, task_status=task_status)

    async def _serve_one(self, plain: trio.SocketStream) -> None:
        address = _address_of(plain)
        secure = trio.SSLStream(plain, self._tls, server_side=True, https_compatible=True)
        try:
            conversation = await self._open(secure, address)
            if conversation is not None:
                await self._converse(*conversation)
        except BROKEN as error:
            log.debug("door connection ended", address=address, reason=str(error))
        finally:
            await trio.aclose_forcefully(secure)

    async def _open(
        self, secure: trio.SSLStream[trio.SocketStream], address: str
    ) -> tuple[trio.abc.Stream, FrameReader, Channel] | None:
        """The handshake. A run that is not finished, for whatever reason, counts as a wrong guess."""
        if not self._throttle.allows(address, trio.current_time()):
            return None
        try:
            self._knocks.acquire_on_behalf_of_nowait(secure)
        except trio.WouldBlock:
            return None
        opened = False
        try:
            with trio.move_on_after(HANDSHAKE_S_MAX):
                await secure.do_handshake()
                frames = FrameReader(secure, _body_length)
                answerer = Answerer(self._seed, self._identity.public_key)
                await _send(secure, answerer.answer(await frames.next()))
                confirmed, channel = answerer.confirm(await frames.next())
                await _send(secure, confirmed)
                opened = True
                return secure, frames, channel
            return None
        finally:
            self._knocks.release_on_behalf_of(secure)
            if not opened:
                self._throttle.failed(address, trio.current_time())
                log.info("door stayed closed", address=address)

    async def _converse(self, stream: trio.abc.Stream, frames: FrameReader, channel: Channel) -> None:
        try:
            self._guests.acquire_on_behalf_of_nowait(stream)
        except trio.WouldBlock:
            log.warning("door connection turned away", reason="too many", connections_max=GUESTS_MAX)
            return
        try:
            while True:
                with trio.move_on_after(IDLE_S_MAX) as idle:
                    question = read_question(channel.open(await frames.next()))
                if idle.cancelled_caught:
                    return
                response = await self._respond(channel, question)
                with trio.fail_after(ASK_S_MAX):
                    await _send(stream, channel.seal(encode(response)))
        except trio.TooSlowError as error:
            raise DoorClosed("the other side does not take its answer") from error
        finally:
            self._guests.release_on_behalf_of(stream)


class DoorSession:
    """An open door at another node, seen from the side that knocked. One question at a time."""

    def __init__(self, stream: trio.abc.Stream, frames: FrameReader, channel: Channel) -> None:
        self._stream = stream
        self._frames = frames
        self._channel = channel

    @property
    def peer(self) -> NodeId:
        """The node at the other end, proved."""
        return self._channel.peer

    async def ask(self, question: Question, limit_s: float = ASK_S_MAX) -> Response:
        """Ask, and wait for the answer. Raises DoorClosed or OSError; the session is of no more use then."""
        try:
            with trio.fail_after(limit_s):
                await _send(self._stream, self._channel.seal(encode(question)))
                return read_response(self._channel.open(await self._frames.next()))
        except trio.TooSlowError as error:
            raise DoorClosed(f"no answer within {limit_s:g} s") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, StreamEnded) as error:
            raise DoorClosed(str(error) or "the connection broke") from error


@asynccontextmanager
async def knock(
    seed: Seed, identity: NodeIdentity, addresses: Sequence[str], *, port: int = DOOR_PORT
) -> AsyncIterator[DoorSession]:
    """An authenticated session with the node at the first of `addresses` that answers. Raises DoorClosed or OSError."""
    stream = await _dial(addresses, port)
    try:
        yield await _authenticate(seed, identity, stream)
    finally:
        await trio.aclose_forcefully(stream)


async def _dial(addresses: Sequence[str], port: int) -> trio.SSLStream[trio.SocketStream]:
    failure: OSError = OSError("no address is known")
    for address in addresses:
        try:
            with trio.fail_after(HANDSHAKE_S_MAX / 2):
                plain = await trio.open_tcp_stream(address, port)
        except trio.TooSlowError:
            failure = OSError(f"{address} does not answer")
        except OSError as error:
            failure = error
        else:
            return trio.SSLStream(plain, door_client(), https_compatible=True)
    raise failure


async def _authenticate(seed: Seed, identity: NodeIdentity, stream: trio.SSLStream[trio.SocketStream]) -> DoorSession:
    try:
        with trio.fail_after(HANDSHAKE_S_MAX):
            await stream.do_handshake()
            dialer = Dialer(seed, identity.public_key, identity.sign, peer_public_key(stream))
            frames = FrameReader(stream, _body_length)
            await _send(stream, dialer.hello())
            await _send(stream, dialer.prove(await frames.next()))
            channel = dialer.confirm(await frames.next())
    except trio.TooSlowError as error:
        raise DoorClosed("the handshake was not finished in time") from error
    except (trio.BrokenResourceError, trio.ClosedResourceError, StreamEnded, ssl.SSLError) as error:
        raise DoorClosed(str(error) or "the other side hung up") from error
    return DoorSession(stream, frames, channel)


async def _send(stream: trio.abc.SendStream, message: bytes) -> None:
    assert len(message) <= MESSAGE_BYTES_MAX, "a message of the door is too long"
    await stream.send_all(_LENGTH.pack(len(message)) + message)


def _body_length(header: bytes) -> int:
    length: int = _LENGTH.unpack(header)[0]
    if length > MESSAGE_BYTES_MAX:
        raise DoorClosed(f"a message of {length} bytes; at most {MESSAGE_BYTES_MAX} are allowed")
    return length


def _address_of(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "gone"
