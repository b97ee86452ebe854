"""How a handler chooses again when it chose from an old view: optimistic choice, certain decision, bounded retry."""

from collections.abc import Callable, Sequence

from noded.core.cluster import Cluster
from noded.core.command import Command
from noded.core.errors import Conflict

TRIES_MAX = 5


async def propose_chosen(
    cluster: Cluster, choose: Callable[[], Command | Sequence[Command]], *codes: str, tries_max: int = TRIES_MAX
) -> None:
    """Propose what `choose` makes of the newest view; again, a few times, if it is refused with one of `codes`."""
    for tries_left in reversed(range(tries_max)):
        try:
            chosen = choose()
            await cluster.propose(*(chosen if isinstance(chosen, Sequence) else (chosen,)))
        except Conflict as conflict:
            if conflict.code not in codes or not tries_left:
                raise
            await cluster.fresh_view()  # somebody else's change came first: choose again, seeing it
        else:
            return
