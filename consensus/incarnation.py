"""Which life of the cluster's log is this? Every log says so from its first entries on.

A log begins when the cluster is founded, when it is recovered after the loss of its majority, and when a backup is
restored. Each beginning draws an id and counts one further, so of two lives of one cluster every node knows the newer:
the one that counts further, and of two equal ones the one with the greater id. Nodes of different lives never take
anything of the log from one another, and those of the older one step back: two clusters never go on side by side.
"""

import msgspec

ID_BYTES = 16  # drawn at random by whoever begins a life


class Incarnation(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One life of a log. The greater one is the newer. `(0, "")` stands for a log that began before there were any."""

    count: int
    id: str

    def next(self, id: str) -> "Incarnation":
        """The life that takes this one's place."""
        return Incarnation(self.count + 1, id)


UNNAMED = Incarnation(0, "")


def agree(one: Incarnation | None, other: Incarnation | None) -> bool:
    """Whether two nodes may share a log. None is an empty one, which may become any."""
    return one is None or other is None or one == other
