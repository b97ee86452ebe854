"""Counts wrong passwords of the whole cluster, and locks whom too many were tried on.

Each node counts what it is asked itself, and tells the node that leads, which counts for all: so three nodes give no
more tries than one. Nothing of this is in the log, which an attacker could fill, but the lock itself: one entry for a
lock, however many go on guessing meanwhile. A new leader begins to count at nothing, and so do nodes that reach none.
"""

from typing import Final

import msgspec
import structlog
import trio

from noded.core.cluster import Cluster
from noded.core.errors import Refused, Unavailable
from noded.core.route import Request
from noded.core.service import PeerContext, PeerHandler
from noded.identity.guesses.commands import LockUser
from noded.identity.links import SignInFailures
from noded.identity.model import User
from noded.identity.sign_in_rules.model import may_be_locked, rules_of

ANSWER_S_MAX: Final = 0.5  # a sign-in waits no longer for the leader's count
FAILED, LET_IN = "identity.failed", "identity.let_in"

log = structlog.get_logger(__name__)


class Guess(msgspec.Struct, frozen=True):
    """On whom it was tried, and when by the clock of the node that was asked."""

    user_id: str
    at_ms: int


async def note_failure(request: Request, user: User, now_ms: int) -> None:
    """A password or passcode was wrong. While the user is locked none counts: the lock ends when it was to end."""
    cluster, failures, rules = request.cluster, request.driver(SignInFailures), rules_of(request.cluster.view())
    if not may_be_locked(rules, user) or user.locked_until_ms > now_ms:
        return
    number = failures.count(user.id, now_ms)
    answer = await _ask_leader(cluster, FAILED, Guess(user.id, now_ms))
    if answer:
        number = max(number, msgspec.msgpack.decode(answer, type=int))
    if number < rules.lockout_failures:
        return
    log.warning("user locked after wrong passwords", user=user.id, failures=rules.lockout_failures)
    await note_success(request, user.id, now_ms)
    try:
        await cluster.propose(LockUser(user_id=user.id, until_ms=now_ms + rules.lockout_s * 1000))
    except Unavailable as reason:
        # Whether the lock can be written or not, this sign-in has failed.
        log.warning("lock not written", user=user.id, reason=reason.message)


async def note_success(request: Request, user_id: str, now_ms: int) -> None:
    """The user was let in, or is locked: what was wrong before counts no more, anywhere."""
    request.driver(SignInFailures).forget(user_id)
    await _ask_leader(request.cluster, LET_IN, Guess(user_id, now_ms))


async def _ask_leader(cluster: Cluster, method: str, guess: Guess) -> bytes:
    """Its answer; nothing if this node leads, or can't reach who does."""
    leader_id = cluster.leader_id
    if leader_id is None or leader_id == cluster.node_id:
        return b""
    with trio.move_on_after(ANSWER_S_MAX):
        try:
            return await cluster.call(leader_id, method, msgspec.msgpack.encode(guess))
        except Refused as reason:
            log.debug("the leader counts no sign-ins now", reason=reason.message)
    return b""


async def _count(context: PeerContext, payload: bytes) -> bytes:
    guess = msgspec.msgpack.decode(payload, type=Guess)
    return msgspec.msgpack.encode(context.drivers.get(SignInFailures).count(guess.user_id, guess.at_ms))


async def _forget(context: PeerContext, payload: bytes) -> bytes:
    context.drivers.get(SignInFailures).forget(msgspec.msgpack.decode(payload, type=Guess).user_id)
    return b""


PEER_CALLS: dict[str, PeerHandler] = {FAILED: _count, LET_IN: _forget}
"""The peer calls of signing in."""
