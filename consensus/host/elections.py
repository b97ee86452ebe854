"""Who may lead? Pre-vote, stepping down, and handing leadership over.

Stock pysyncobj raises the term whenever a timeout passes, so one flapping follower deposes a healthy leader again and
again. Here a node first asks whether a majority would vote for it, and nobody would while it hears a leader (Ongaro,
"Consensus: Bridging Theory and Practice", section 9.6). A leader that a majority does not answer steps down after
`leaderFallbackTimeout`.
"""

from dataclasses import dataclass, field
from typing import Final, cast

from consensus.host.messages import PreVote, PreVoteReply
from consensus.host.seams import Message, Node, Role, Skeleton, clock

YIELDS: Final = 2  # how many of its turns a node lets pass to others who could lead better


@dataclass
class _Canvass:
    """The question put to all voters before an election."""

    term: int
    granted: set[str] = field(default_factory=set)
    won: bool = False


class Elections(Skeleton):
    """The skeleton with elections that disturb nobody."""

    _canvass: _Canvass | None = None
    _yielded: int = 0
    leader_heard_at: float = 0.0

    def send(self, node: Node, message: object) -> None:
        """Say something to another node."""
        raise NotImplementedError

    def may_campaign(self) -> bool:
        """Whether this node is a voter that is able to lead."""
        raise NotImplementedError

    def yields(self) -> bool:
        """Whether others should lead rather than this node, if they can."""
        raise NotImplementedError

    def campaign_when_due(self) -> None:
        """Called before each stock tick, which starts an election when the deadline has passed."""
        now = clock()
        if self.role == Role.LEADER:
            self._canvass = None
            return
        if self.leader_node is not None and now - self.leader_heard_at > self.conf.raftMaxTimeout:
            self.lose_leader()
        if self.election_deadline >= now:
            return
        if not self.may_campaign() or not self.linked_to_anyone():
            self._canvass = None
            self.postpone_election()
        elif self._canvass is not None and self._canvass.won:
            self._canvass = None  # the stock tick now starts the real election
        elif self.other_voters and not self.handing_over:
            if self.yields() and self._yielded < YIELDS:
                self._yielded += 1
                self.postpone_election()
            else:
                self._start_canvass()

    def lose_leader(self) -> None:
        """Nobody leads as far as this node knows: who waits for the leader is told to try again."""
        self.leader_node = None
        self.forget_forwards()

    def postpone_election(self) -> None:
        self.election_deadline = clock() + self.election_timeout_s()

    def step_down(self, term: int) -> None:
        """Somebody is in a later term."""
        self.set_term(term, None)
        self.set_role(Role.FOLLOWER)
        self.lose_leader()
        self.postpone_election()

    def _start_canvass(self) -> None:
        self._canvass = _Canvass(self.current_term + 1, {self.self_node.id})
        self.postpone_election()
        question = PreVote(
            type="pre_vote",
            term=self._canvass.term,
            last_log_index=self.last_index(),
            last_log_term=self.last_term(),
        )
        for node in self.other_voters:
            self.send(node, question)

    def on_pre_vote(self, node: Node, message: Message) -> None:
        """Somebody asks whether this node would vote for it."""
        asked = cast(PreVote, message)
        log_is_new_enough = (asked["last_log_term"], asked["last_log_index"]) >= (self.last_term(), self.last_index())
        granted = asked["term"] > self.current_term and log_is_new_enough and not self._hears_leader()
        reply = PreVoteReply(type="pre_vote_reply", term=asked["term"], granted=granted, current_term=self.current_term)
        self.send(node, reply)

    def on_pre_vote_reply(self, node: Node, message: Message) -> None:
        """An answer to `_start_canvass`."""
        reply = cast(PreVoteReply, message)
        if self.role == Role.LEADER:
            return
        if reply["current_term"] > self.current_term:
            self._canvass = None
            self.step_down(reply["current_term"])
            return
        canvass = self._canvass
        if canvass is None or not reply["granted"] or reply["term"] != canvass.term or node not in self.other_voters:
            return
        canvass.granted.add(node.id)
        if canvass.term == self.current_term + 1 and len(canvass.granted) > (len(self.other_voters) + 1) / 2:
            canvass.won = True
            self.election_deadline = 0.0

    def _hears_leader(self) -> bool:
        if self.role == Role.LEADER:
            return True  # one that a majority does not answer steps down by itself
        return self.leader_node is not None and clock() - self.leader_heard_at < self.conf.raftMinTimeout

    def follow(self, leader: Node, term: int) -> bool:
        """The leader of `term` spoke. False if that term is over."""
        if term < self.current_term:
            return False
        if term > self.current_term:
            self.handing_over = False
            self.set_term(term, None)
        self.leader_heard_at = clock()
        self._canvass = None
        self._yielded = 0
        if not self.handing_over:
            self.postpone_election()
        if self.leader_node != leader:
            self.forget_forwards()
        self.leader_node = leader
        self.set_role(Role.FOLLOWER)
        return True
