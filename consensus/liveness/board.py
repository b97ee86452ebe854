"""What does this node know of everyone's hearing, and how do two nodes tell each other? Sans-IO: times are given.

Each node has a row: whom it hears. It makes a new beat of it each round and tells one voter, which answers with what
the asker does not know yet; voters ask one another in the same way. So a round costs one call a node, however many
nodes there are, and a row travels only when something in it changed. A row whose beat stands still says nothing any
more: its node, or the way to it, is gone.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from consensus.liveness.damping import Damper
from consensus.liveness.model import Change, Exchange, Hearing, Lost, Outlook, Pulse, Row, Sight, State
from consensus.liveness.sight import Circle, Judgement, judge
from noded.core.ids import NodeId

ROUND_S: Final = 1.0
MEMBERS_A_SECOND: Final = 25  # larger clusters beat slower, so that no more calls are made in a second
STALE_ROUNDS: Final = 8
CHANGES_KEPT: Final = 10  # of each node


def round_s(members: int) -> float:
    """How long a round takes in a cluster of that size."""
    return max(ROUND_S, members / MEMBERS_A_SECOND)


class Board:
    """All rows that a node knows, its own among them, and what it makes of them."""

    def __init__(self, me: NodeId, life: int) -> None:
        self._me = me
        self._own = Row(Pulse(me, life, 0, 0), ())
        self._rows: dict[NodeId, Row] = {}
        self._newer_at_s: dict[NodeId, float] = {}
        self._dampers: dict[NodeId, Damper] = {}
        self._judgements: dict[NodeId, Judgement] = {}
        self._changes: dict[NodeId, deque[Change]] = {}
        self._circle = Circle(me, frozenset(), frozenset(), frozenset(), has_majority=True)
        self._minority_since_ms: int | None = None
        self._looked_at_s = 0.0

    # -- each round

    def look(self, circle: Circle, now_s: float, now_ms: int) -> bool:
        """Take down whom this node hears, judge everyone anew; whether its own row has news."""
        self._circle = circle
        self._looked_at_s = now_s
        has_news = self._renew_own_row(now_ms)
        for gone in (self._rows.keys() | self._dampers.keys()) - circle.members:
            for kept in (self._rows, self._newer_at_s, self._dampers, self._judgements, self._changes):
                kept.pop(gone, None)
        for node_id, judgement in judge(self._fresh_rows(now_s), circle).items():
            self._follow(node_id, judgement, now_s, now_ms)
        if circle.has_majority:
            self._minority_since_ms = None
        elif self._minority_since_ms is None:
            self._minority_since_ms = now_ms
        return has_news

    def _follow(self, node_id: NodeId, judgement: Judgement, now_s: float, now_ms: int) -> None:
        self._judgements[node_id] = judgement
        damper = self._dampers.setdefault(node_id, Damper(now_s, now_ms))
        before = damper.shown
        damper.feed(judgement.state, now_s, now_ms, up_since_ms=judgement.up_since_ms)
        if damper.shown is not before:
            change = Change(at_ms=now_ms, state=damper.shown, missed_by=judgement.missed_by)
            self._changes.setdefault(node_id, deque(maxlen=CHANGES_KEPT)).append(change)

    def _renew_own_row(self, now_ms: int) -> bool:
        before = {hearing.node_id: hearing for hearing in self._own.hearings}
        hearings = []
        for node_id in sorted(self._circle.listens_to(self._me)):
            heard, old = node_id in self._circle.heard, before.get(node_id)
            hearings.append(old if old is not None and old.heard == heard else Hearing(node_id, heard, now_ms))
        pulse = self._own.pulse
        has_news = tuple(hearings) != self._own.hearings
        beat = pulse.beat + 1
        self._own = Row(Pulse(self._me, pulse.life, beat, beat if has_news else pulse.changed), tuple(hearings))
        return has_news

    def _fresh_rows(self, now_s: float) -> dict[NodeId, Row]:
        """What is still said: by nodes that this one hears, or that are heard by somebody so heard."""
        oldest_s = now_s - STALE_ROUNDS * round_s(len(self._circle.members))
        found, next_ones = {self._me: self._own}, [self._own]
        while next_ones:
            for hearing in next_ones.pop().hearings:
                row = self._rows.get(hearing.node_id)
                if hearing.heard and row and self._newer_at_s[hearing.node_id] >= oldest_s:
                    if hearing.node_id not in found:
                        next_ones.append(row)
                    found[hearing.node_id] = row
        return found

    # -- telling

    def question(self) -> Exchange:
        """What this node tells and asks: how far it knows every row, and its own."""
        known = tuple(row.pulse for row in self._rows.values())
        return Exchange((*known, self._own.pulse), (self._own,))

    def answer(self, question: Exchange, now_s: float) -> Exchange:
        """Take what was told, and give what the asker lacks: news as rows, and beats where nothing is new."""
        self.take(question, now_s)
        known = {pulse.node_id: pulse for pulse in question.pulses}
        pulses, rows = [], []
        for row in (*self._rows.values(), self._own):
            theirs = known.get(row.pulse.node_id)
            if row.pulse.has_news_for(theirs):
                rows.append(row)
            elif row.pulse.is_newer_than(theirs):
                pulses.append(row.pulse)
        # Its own row as it is known here: a node whose clock went back finds out that it must count on from there.
        asker = known.keys() & {row.pulse.node_id for row in question.rows}
        pulses += [self._rows[node_id].pulse for node_id in asker if node_id in self._rows]
        return Exchange(tuple(pulses), tuple(rows))

    def take(self, told: Exchange, now_s: float) -> None:
        """Take what another node told."""
        for row in told.rows:
            self._take_row(row, now_s)
        for pulse in told.pulses:
            self._take_pulse(pulse, now_s)

    def _take_row(self, row: Row, now_s: float) -> None:
        teller = row.pulse.node_id
        if teller == self._me or teller not in self._circle.members:
            return  # nobody may fill this node's memory with rows, and whoever is forgotten stays so
        mine = self._rows.get(teller)
        if row.pulse.is_newer_than(mine.pulse if mine else None):
            self._rows[teller] = row
            self._newer_at_s[teller] = now_s

    def _take_pulse(self, pulse: Pulse, now_s: float) -> None:
        if pulse.node_id == self._me:
            if pulse.is_newer_than(self._own.pulse):
                own = self._own.pulse
                self._own = Row(Pulse(self._me, pulse.life + 1, own.beat, own.beat), self._own.hearings)
            return
        mine = self._rows.get(pulse.node_id)
        # Without the row's news the beat says only that the node lives, not that it still says the same.
        if mine is not None and pulse.is_newer_than(mine.pulse) and not pulse.has_news_for(mine.pulse):
            self._rows[pulse.node_id] = Row(pulse, mine.hearings)
            self._newer_at_s[pulse.node_id] = now_s

    # -- what is made of it

    def sight(self, node_id: NodeId) -> Sight | None:
        """One member as this node sees it; None before it was looked at."""
        judgement, damper = self._judgements.get(node_id), self._dampers.get(node_id)
        if judgement is None or damper is None:
            return None
        return Sight(
            node_id=node_id,
            state=damper.shown,
            since_ms=damper.since_ms,
            seen_by=judgement.seen_by,
            missed_by=judgement.missed_by,
            flaps=round(damper.flaps(self._looked_at_s), 1),
            steady_s=round(damper.steady_s(self._looked_at_s), 1),
        )

    def changes(self, node_id: NodeId) -> Sequence[Change]:
        """What a member became lately, oldest first."""
        return tuple(self._changes.get(node_id, ()))

    def usable(self) -> frozenset[NodeId]:
        """Who may be given new things by this node."""
        listens_to, circle = self._circle.listens_to(self._me), self._circle
        good = {node_id for node_id, damper in self._dampers.items() if damper.shown in (State.UP, State.PARTLY)}
        return frozenset(good - (listens_to - circle.heard)) | {self._me}

    def outlook(self, names: Mapping[NodeId, str]) -> Outlook:
        """What this node may do."""
        circle = self._circle
        seen = circle.voters & (circle.heard | {self._me})
        return Outlook(
            has_majority=circle.has_majority,
            voters=tuple(sorted(circle.voters)),
            voters_seen=tuple(sorted(seen)),
            lost=tuple(
                Lost(
                    node_id=hearing.node_id,
                    name=names.get(hearing.node_id, hearing.node_id[:12]),
                    since_ms=hearing.since_ms,
                )
                for hearing in self._own.hearings
                if not hearing.heard
            ),
            minority_since_ms=self._minority_since_ms,
        )


def whom_to_ask(me: NodeId, voters: Collection[NodeId], heard: Collection[NodeId], turn: int) -> NodeId | None:
    """Which voter is asked in this round: each in its turn, and nodes begin at different ones."""
    others = sorted(voter for voter in voters if voter != me and voter in heard)
    return others[(turn + int(me[:8], 16)) % len(others)] if others else None
