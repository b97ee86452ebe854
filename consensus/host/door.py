"""How does a knock reach the door, and what keeps strangers from knocking all day? TCP, TLS, limits and time limits.

The handshakes themselves are `consensus/door.py` and `consensus/words.py`; what is said afterwards is
`consensus/admission.py`.
"""

import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from consensus.admission import Question, Response, Turned, encode, read_question, read_response
from consensus.door import MESSAGE_BYTES_MAX, WORDS_DOOR, Answerer, Channel, Dialer, DoorClosed, DoorKey
from consensus.doors.links import Refusals
from consensus.host.frames import FrameReader, StreamEnded
from consensus.host.identity import NodeIdentity
from consensus.host.refusals import address_of
from consensus.host.tls import door_client, door_server, peer_public_key
from consensus.ports import DOOR_PORT
from consensus.refusals import RefusalKind
from consensus.throttle import Throttle
from consensus.words import ClusterName, Member, Newcomer, is_offer
from noded.core.ids import NodeId

HANDSHAKE_S_MAX: Final = 10.0
ASK_S_MAX: Final = 15.0
IDLE_S_MAX: Final = 30.0
FINISH_S_MAX: Final = 2.0
KNOCKS_MAX: Final = 16  # handshakes under way at once, each some 10 ms of CPU
GUESTS_MAX: Final = 256  # authenticated connections
FAILURES_BURST: Final = 10
FAILURE_REFILL_S: Final = 6.0
# Who knows no secret costs a person's attention: few may wait, and few of one address.
STRANGERS_MAX: Final = 64
STRANGERS_PER_ADDRESS_MAX: Final = 4

BROKEN: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, StreamEnded, DoorClosed)
_LENGTH: Final = struct.Struct(">I")

Respond = Callable[[Channel, Question], Awaitable[Response]]
"""Answers an authenticated node's question."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Openings:
    """What a door opens to: who knows the key of a door, and, if `strangers_to` is set, who has no secret and asks."""

    keys: Callable[[str], DoorKey | None]
    strangers_to: ClusterName | None = None


class DoorServer:
    """Opens as `openings` says, and answers those who come in with `respond`."""

    def __init__(
        self, openings: Openings, identity: NodeIdentity, state_dir: Path, respond: Respond, refusals: Refusals
    ) -> None:
        self._openings = openings
        self._identity = identity
        self._tls = door_server(state_dir)
        self._respond = respond
        self._refusals = refusals
        self._port = DOOR_PORT
        self._throttle = Throttle(FAILURES_BURST, FAILURE_REFILL_S)
        self._knocks = trio.CapacityLimiter(KNOCKS_MAX)
        self._guests = trio.CapacityLimiter(GUESTS_MAX)
        self._strangers: Counter[str] = Counter()
        self._answering = 0
        self._answered = trio.Event()

    async def serve(
        self,
        addresses: Sequence[str],
        port: int = DOOR_PORT,
        *,
        task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve the door on these addresses until cancelled."""
        self._port = port
        listeners = []
        for address in addresses:
            listeners += await trio.open_tcp_listeners(port, host=address)
        await trio.serve_listeners(self._serve_one, listeners, task_status=task_status)

    async def _serve_one(self, plain: trio.SocketStream) -> None:
        address = address_of(plain)
        secure = trio.SSLStream(plain, self._tls, server_side=True, https_compatible=True)
        try:
            conversation = await self._open(secure, address)
            if conversation is not None:
                await self._converse(*conversation, address)
        except BROKEN as error:
            log.debug("door connection ended", address=address, reason=str(error))
        except Exception:  # one connection's fault must not end the others
            log.exception("door connection failed", address=address)
        finally:
            await trio.aclose_forcefully(secure)

    async def _open(
        self, secure: trio.SSLStream[trio.SocketStream], address: str
    ) -> tuple[trio.abc.Stream, FrameReader, Channel] | None:
        """The handshake. A run that is not finished, for whatever reason, counts as a wrong guess."""
        if not self._throttle.allows(address, trio.current_time()):
            self._refuse(RefusalKind.TOO_MANY, address, "too many failed attempts; it has to wait")
            return None
        try:
            self._knocks.acquire_on_behalf_of_nowait(secure)
        except trio.WouldBlock:
            self._refuse(RefusalKind.TOO_MANY, address, "too many handshakes at once")
            return None
        kind, detail, opened = RefusalKind.NO_TLS, "no TLS handshake", False
        try:
            with trio.fail_after(HANDSHAKE_S_MAX):
                await secure.do_handshake()
                kind, detail = RefusalKind.NO_PROTOCOL, "nothing that a door understands"
                frames = FrameReader(secure, _body_length)
                first = await frames.next()
                if not first:
                    opened = True  # a member only looked whether this door can be reached
                    return None
                kind, detail = RefusalKind.WRONG_SECRET, "did not prove to know the secret"
                channel = await self._shake(secure, frames, first)
            opened = True
            return secure, frames, channel  # noqa: TRY300  # there is nothing that an `else` would make clearer
        except DoorClosed as closed:
            detail = str(closed)
            raise
        except trio.TooSlowError as error:
            raise DoorClosed("the handshake was not finished in time") from error
        finally:
            self._knocks.release_on_behalf_of(secure)
            if not opened:
                self._throttle.failed(address, trio.current_time())
                self._refuse(kind, address, detail)

    async def _shake(self, stream: trio.abc.SendStream, frames: FrameReader, first: bytes) -> Channel:
        if is_offer(first):
            if self._openings.strangers_to is None:
                raise DoorClosed("this node lets in only who knows a secret")
            member = Member(self._openings.strangers_to, self._identity.public_key)
            await _send(stream, member.counter(first))
            return member.open(await frames.next())
        answerer = Answerer(self._openings.keys, self._identity.public_key)
        await _send(stream, answerer.answer(first))
        confirmed, channel = answerer.confirm(await frames.next())
        await _send(stream, confirmed)
        return channel

    async def _converse(self, stream: trio.abc.Stream, frames: FrameReader, channel: Channel, address: str) -> None:
        stranger = channel.door == WORDS_DOOR
        full = self._strangers.total() >= STRANGERS_MAX or self._strangers[address] >= STRANGERS_PER_ADDRESS_MAX
        if (stranger and full) or not self._guests.available_tokens:
            self._refuse(RefusalKind.TOO_MANY, address, "too many nodes at the door")
            return
        self._guests.acquire_on_behalf_of_nowait(stream)
        self._strangers[address] += stranger
        try:
            while True:
                with trio.move_on_after(IDLE_S_MAX) as idle:
                    question = read_question(channel.open(await frames.next()))
                if idle.cancelled_caught:
                    return
                await self._answer(stream, channel, question, address)
        except trio.TooSlowError as error:
            raise DoorClosed("the other side does not take its answer") from error
        finally:
            self._guests.release_on_behalf_of(stream)
            self._strangers[address] -= stranger
            if not self._strangers[address]:
                del self._strangers[address]

    async def _answer(self, stream: trio.abc.SendStream, channel: Channel, question: Question, address: str) -> None:
        self._answering += 1
        try:
            response = await self._respond(channel, question)
            if isinstance(response, Turned):
                self._refuse(RefusalKind.NOT_ADMITTED, address, response.reason)
            with trio.fail_after(ASK_S_MAX):
                await _send(stream, channel.seal(encode(response)))
        finally:
            self._answering -= 1
            self._answered.set()

    async def finish(self) -> None:
        """Return when no answer is under way, so that who made this node a member hears that it is one."""
        with trio.move_on_after(FINISH_S_MAX):
            while self._answering:
                self._answered = trio.Event()
                await self._answered.wait()

    def _refuse(self, kind: RefusalKind, address: str, detail: str) -> None:
        self._refusals.note(kind, self._port, address, detail)


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

    @property
    def channel(self) -> Channel:
        """What was agreed with it."""
        return self._channel

    @property
    def words(self) -> str:
        """What people compare, if the door was opened without a secret."""
        return self._channel.words

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
    key: DoorKey, identity: NodeIdentity, addresses: Sequence[str], *, port: int = DOOR_PORT
) -> AsyncIterator[DoorSession]:
    """An authenticated session with the node at the first of `addresses` that answers. Raises DoorClosed or OSError."""
    stream = await _dial(addresses, port)
    try:
        yield await _authenticate(stream, partial(_prove, key, identity, stream))
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


@asynccontextmanager
async def ask_to_be_let_in(
    identity: NodeIdentity, addresses: Sequence[str], *, port: int = DOOR_PORT
) -> AsyncIterator[tuple[DoorSession, ClusterName]]:
    """A session with a member that this node shares no secret with: its words must be compared. As `knock` raises."""
    stream = await _dial(addresses, port)
    names: list[ClusterName] = []

    async def offer() -> tuple[FrameReader, Channel]:
        newcomer = Newcomer(identity.public_key, identity.sign, peer_public_key(stream))
        frames = FrameReader(stream, _body_length)
        await _send(stream, newcomer.offer())
        reveal, channel, name = newcomer.reveal(await frames.next())
        await _send(stream, reveal)
        names.append(name)
        return frames, channel

    try:
        session = await _authenticate(stream, offer)
        yield session, names[0]
    finally:
        await trio.aclose_forcefully(stream)


async def _prove(
    key: DoorKey, identity: NodeIdentity, stream: trio.SSLStream[trio.SocketStream]
) -> tuple[FrameReader, Channel]:
    dialer = Dialer(key, identity.public_key, identity.sign, peer_public_key(stream))
    frames = FrameReader(stream, _body_length)
    await _send(stream, dialer.hello())
    await _send(stream, dialer.prove(await frames.next()))
    try:
        return frames, dialer.confirm(await frames.next())
    except (StreamEnded, OSError, trio.BrokenResourceError) as error:
        raise DoorClosed(
            "the other side does not know the same secret, or makes this node wait after too many attempts"
        ) from error


async def _authenticate(
    stream: trio.SSLStream[trio.SocketStream], shake: Callable[[], Awaitable[tuple[FrameReader, Channel]]]
) -> DoorSession:
    try:
        with trio.fail_after(HANDSHAKE_S_MAX):
            await stream.do_handshake()
            frames, channel = await shake()
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
