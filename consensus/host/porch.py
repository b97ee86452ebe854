"""Who waits at this member's door for somebody's yes? Known only while the node's session is open; never stored."""

from dataclasses import dataclass
from typing import Final

import msgspec

from consensus.admission import NAME_CHARS_MAX, AskAdmission
from consensus.door import Channel
from consensus.doors.model import JoinRequest
from consensus.naming import fingerprint
from noded.core.errors import Conflict, Forbidden, NotFound
from noded.core.ids import NodeId
from noded.core.origin import Origin

# A node asks about once a second; who has not for so long is not there any more.
SILENT_MS_MAX: Final = 10_000
ADDRESSES_SHOWN_MAX: Final = 8
TURNED_AWAY_MAX: Final = 256


@dataclass
class _Waiting:
    request: JoinRequest
    heard_at_ms: int
    approved_by: Origin | None = None


class WaitingRoom:
    """The nodes that wait. The door bounds their number."""

    def __init__(self, own_id: NodeId) -> None:
        self._own_id = own_id
        self._waiting: dict[NodeId, _Waiting] = {}
        self._turned_away: dict[str, None] = {}  # the words of the newest that were

    def asks(self, channel: Channel, asked: AskAdmission, misfit: str | None, now_ms: int) -> JoinRequest:
        """The node at the other end asks. Another handshake has other words, and what was approved before is void."""
        before = self._waiting.get(channel.peer)
        same = before is not None and before.request.words == channel.words
        request = JoinRequest(
            node_id=channel.peer,
            fingerprint=fingerprint(channel.peer_key),
            name="".join(letter for letter in asked.name[:NAME_CHARS_MAX] if letter.isprintable()),
            addresses=tuple(address[:64] for address in asked.addresses[:ADDRESSES_SHOWN_MAX]),
            release=asked.release[:32],
            words=channel.words,
            waits_at=self._own_id,
            since_ms=before.request.since_ms if before and same else now_ms,
            approved=bool(before and same and before.request.approved),
            agreed=asked.agreed,
            misfit=misfit or "",
        )
        approved_by = before.approved_by if before and request.approved else None
        self._waiting[channel.peer] = _Waiting(request, now_ms, approved_by)
        return request

    def requests(self, now_ms: int) -> tuple[JoinRequest, ...]:
        """Those that asked within the last seconds."""
        for node_id, waiting in list(self._waiting.items()):
            if now_ms - waiting.heard_at_ms > SILENT_MS_MAX:
                del self._waiting[node_id]
        return tuple(waiting.request for waiting in self._waiting.values())

    def approved_by(self, node_id: NodeId) -> Origin | None:
        """Who said yes to a node that waits."""
        waiting = self._waiting.get(node_id)
        return None if waiting is None else waiting.approved_by

    def approve(self, node_id: NodeId, words: str, now_ms: int, origin: Origin | None = None) -> None:
        """A person, who acts as `origin`, compared the words. Raises NotFound, Forbidden, Conflict."""
        request = next((each for each in self.requests(now_ms) if each.node_id == node_id), None)
        if request is None:
            raise NotFound.of("waiting node", node_id)
        if request.words != words:
            raise Forbidden(
                f"Node {request.name} shows other words here: {request.words}. If it shows the words that you gave,"
                " somebody stands between it and the cluster: don't approve it, and look at the network."
            )
        if request.misfit:
            raise Conflict(f"Node {request.name} can't be admitted as it is: {request.misfit}.")
        self._waiting[node_id].request = msgspec.structs.replace(request, approved=True)
        self._waiting[node_id].approved_by = origin

    def turn_away(self, node_id: NodeId) -> None:
        """Forget its request. It may ask again with other words, after a restart. Raises NotFound."""
        waiting = self._waiting.pop(node_id, None)
        if waiting is None:
            raise NotFound.of("waiting node", node_id)
        self._turned_away[waiting.request.words] = None
        while len(self._turned_away) > TURNED_AWAY_MAX:
            del self._turned_away[next(iter(self._turned_away))]

    def was_turned_away(self, channel: Channel) -> bool:
        """Whether somebody said no to this very session."""
        return channel.words in self._turned_away
