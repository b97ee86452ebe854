"""Founding: at most one founder whatever is lost, late, cut off or restarted; exactly one once all see one another."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from consensus.founding import Founding, Round, Stance
from noded.core.ids import NodeId

IDS = [NodeId(f"{number:032x}") for number in range(1, 10)]


class Town:
    """Nodes that only talk through a bag of messages, from which a seed draws: late, lost or out of order."""

    def __init__(self, seed: int, count: int, expect: int) -> None:
        self.dice = random.Random(seed)
        self.ids = IDS[:count]
        self.expect = expect
        self.disk: dict[NodeId, NodeId | None] = dict.fromkeys(self.ids)
        self.founders: set[NodeId] = set()
        self.up: dict[NodeId, Founding] = {}
        self.lives = dict.fromkeys(self.ids, 0)
        self.groups: list[set[NodeId]] = [set(self.ids)]
        self.bag: list[tuple[NodeId, NodeId, int, Callable[[], None]]] = []

    def start(self, node_id: NodeId) -> None:
        if node_id not in self.up and node_id not in self.founders:
            self.up[node_id] = Founding(node_id, self.expect, self.disk[node_id])

    def stop(self, node_id: NodeId) -> None:
        # What it had sent may still arrive; what it was to receive ends with its connections.
        self.up.pop(node_id, None)
        self.lives[node_id] += 1

    def linked(self, a: NodeId, b: NodeId) -> bool:
        return any({a, b} <= group for group in self.groups)

    def send(self, sender: NodeId, receiver: NodeId, deliver: Callable[[], None]) -> None:
        self.bag.append((sender, receiver, self.lives[receiver], deliver))

    def deliver_one(self, drop: float = 0.0) -> None:
        if not self.bag:
            return
        sender, receiver, life, deliver = self.bag.pop(self.dice.randrange(len(self.bag)))
        alive = self.lives[receiver] == life
        if alive and receiver in self.up and self.linked(sender, receiver) and self.dice.random() >= drop:
            deliver()

    def turn(self, node_id: NodeId) -> None:
        """What a node does each time it looks round."""
        node = self.up.get(node_id)
        if node is None:
            return
        for peer in self.ids:
            visible = peer in self.up and peer != node_id and self.linked(node_id, peer)
            (node.met if visible else node.lost)(peer) if peer != node_id else None
        if node.consider_itself():
            self.disk[node_id] = node.promised
        holder = node.holder_to_ask()
        if holder is not None:
            self.ask_back(node, holder)
        for peer in sorted(node.seen - {node_id}):
            asked = node.round_for(peer)
            if asked is not None:
                self.ask_promise(node, asked)
        if node.decide():
            self.founders.add(node_id)
            self.stop(node_id)

    def ask_promise(self, node: Founding, asked: Round) -> None:
        def arrive() -> None:
            voter = self.up[asked.voter]
            if voter.promise(node.node_id) is Stance.YES:
                self.disk[voter.node_id] = voter.promised
                self.send(voter.node_id, node.node_id, lambda: node.promised_in(asked))

        self.send(node.node_id, asked.voter, arrive)

    def ask_back(self, node: Founding, holder: NodeId) -> None:
        if self.dice.random() < 0.2:
            return
        node.ask_back()
        if holder not in self.up or not self.linked(node.node_id, holder):
            node.answered_back(freed=False)
            return

        def arrive() -> None:
            freed = self.up[holder].give_back(node.node_id) is Stance.YES
            self.send(holder, node.node_id, lambda: node.answered_back(freed=freed))

        self.send(node.node_id, holder, arrive)

    def forget_lost_questions(self) -> None:
        """Connections on which nothing more arrives break, and whoever waits for an answer stops waiting."""
        self.bag.clear()
        for node in self.up.values():
            node.answered_back(freed=False)

    def settle(self) -> None:
        """All nodes up, all in sight of one another, nothing lost."""
        self.forget_lost_questions()
        self.groups = [set(self.ids)]
        for _ in range(60):
            for node_id in self.ids:
                if not self.founders:
                    self.start(node_id)
                self.turn(node_id)
            while self.bag and not self.founders:
                self.deliver_one()


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize(("count", "expect"), [(3, 2), (3, 3), (4, 3), (5, 3), (7, 4)])
def test_whatever_happens_at_most_one_node_founds_and_in_the_end_one_does(seed: int, count: int, expect: int) -> None:
    town = Town(seed, count, expect)
    for _ in range(400):
        match town.dice.randrange(12):
            case 0:
                cut = town.dice.randrange(count + 1)
                shuffled = town.dice.sample(town.ids, count)
                town.groups = [set(shuffled[:cut]), set(shuffled[cut:])]
            case 1:
                town.groups = [set(pair) for pair in pairwise(town.dice.sample(town.ids, count))]
            case 2:
                town.stop(town.dice.choice(town.ids))
            case 3:
                if town.dice.random() < 0.2:
                    town.forget_lost_questions()
            case 4 | 5 | 6:
                town.start(town.dice.choice(town.ids))
            case 7 | 8:
                town.turn(town.dice.choice(town.ids))
            case _:
                town.deliver_one(drop=0.1)
        assert len(town.founders) <= 1
    town.settle()
    assert len(town.founders) == 1


def test_a_minority_waits_for_ever() -> None:
    town = Town(1, count=3, expect=3)
    town.groups = [{IDS[0], IDS[1]}, {IDS[2]}]
    for _ in range(50):
        for node_id in town.ids:
            town.start(node_id)
            town.turn(node_id)
            town.deliver_one()
    assert town.founders == set()


def test_a_node_alone_founds_at_once_if_one_is_expected() -> None:
    node = Founding(IDS[0], expect=1)
    assert node.consider_itself()
    assert node.decide()


def test_a_promise_binds_until_its_holder_gives_it_back() -> None:
    low, middle, high = IDS[:3]
    node = Founding(high, expect=2)
    node.met(middle)
    assert node.promise(middle) is Stance.YES
    node.met(low)
    assert node.promise(low) is Stance.NO
    assert node.holder_to_ask() == middle
    node.ask_back()
    assert node.promise(middle) is Stance.NO
    node.answered_back(freed=True)
    assert node.promise(low) is Stance.YES


def test_a_yes_to_a_round_given_back_no_longer_counts() -> None:
    low, high = IDS[:2]
    node = Founding(low, expect=2)
    node.met(high)
    assert node.consider_itself()
    asked = node.round_for(high)
    assert asked is not None
    assert node.give_back(high) is Stance.YES
    node.promised_in(asked)
    assert not node.decide()


def test_a_founder_gives_no_promise_back() -> None:
    node = Founding(IDS[0], expect=1)
    node.consider_itself()
    assert node.decide()
    assert node.give_back(IDS[1]) is Stance.FOUNDED
    assert node.promise(IDS[1]) is Stance.FOUNDED
