"""How hard is a world? Each seed draws a cluster, a load, and which faults there are and how often: a swarm.

Worlds that have all faults at once hide what only shows when one of them is absent, so most draw a few.
(Groce and others, "Swarm Testing", ISSTA 2012.)
"""

import random
from dataclasses import dataclass, field
from typing import Final

FAULTS: Final = (
    "crash",  # one node, with what it had not synced
    "crash leader",
    "power cut",  # all nodes at once
    "torn write",  # a node dies in the middle of a sync: any part of it may be on the disk
    "disk fails",  # fdatasync says no: the process ends, and may have written all, part or nothing
    "cut",  # one pair, both ways
    "one way",  # one direction loses what it carries, then the link breaks
    "isolate",  # one node from all others
    "isolate leader",
    "split",  # two groups
    "flap",  # a link that breaks and comes back many times
    "stall",  # one direction is late
    "pause",  # a node stops and goes on
    "pause leader",
    "slow disk",
    "full disk",  # for a while there is little room on a node's disk, or none
    "wipe",  # a node without a vote is emptied and joins again under its name
    "replace",  # a voter's disk is lost for good, a fresh node takes its place
    # The moments at which a rule matters: the next time that one comes, something strikes there.
    "at vote",
    "at lead",
    "at ack",
    "at commit",
    "at change",
    "at install",
)


@dataclass(frozen=True)
class Weather:
    """What a seed drew. Rates are per second of the whole world."""

    voters: int = 3
    learners: int = 0
    seconds: float = 12.0
    clients: int = 4
    keys: int = 2
    think_s: float = 0.08
    reads: float = 0.4
    ballast: tuple[int, ...] = (0,)
    sync_s: float = 0.004
    flight_s: float = 0.003
    checkpoint_entries: int = 60
    change_rate: float = 0.0
    handover_rate: float = 0.0
    fault_rate: float = 0.5
    down_s: float = 2.0  # how long a crash lasts at most
    skew: float = 0.0  # how much faster or slower clocks may run
    faults: tuple[str, ...] = field(default=FAULTS)


def draw_weather(seed: int) -> Weather:
    """The weather of a seed: the same one always."""
    dice = random.Random(f"weather {seed}")
    voters = dice.choice((1, 2, 3, 3, 3, 3, 4, 5, 5))
    few = dice.sample(FAULTS, dice.randint(1, 6))
    return Weather(
        voters=voters,
        learners=dice.choice((0, 0, 1, 2)),
        seconds=dice.uniform(3.0, 9.0),
        clients=dice.choice((2, 4, 6)),
        keys=dice.choice((1, 2, 5)),
        think_s=dice.choice((0.1, 0.3, 1.0)),
        reads=dice.choice((0.0, 0.3, 0.7)),
        ballast=dice.choice(((0,), (0, 0, 100, 3000), (0, 50_000, 150_000))),
        sync_s=dice.choice((0.0005, 0.004, 0.004, 0.03)),
        flight_s=dice.choice((0.0005, 0.003, 0.03, 0.1)),
        checkpoint_entries=dice.choice((5, 15, 50, 100_000)),
        change_rate=dice.choice((0.0, 0.0, 0.5, 4.0)),
        handover_rate=dice.choice((0.0, 0.0, 0.3)),
        fault_rate=dice.choice((0.3, 1.0, 2.0, 4.0)),
        down_s=dice.choice((0.1, 0.5, 3.0)),
        skew=dice.choice((0.0, 0.0, 0.02)),
        faults=tuple(few) if dice.random() < 0.8 else FAULTS,
    )
