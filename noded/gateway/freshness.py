"""How is a client served that changed something through one node and comes to another a moment later?

Reads are local, and a node may be one heartbeat behind the one that acknowledged a change. Where "not known here yet"
would look like a refusal to the client (signing in as a user just made, a token just granted a role), this node asks
first what the cluster has acknowledged.
"""

from typing import Final

import structlog
import trio

from noded.core.cluster import Cluster
from noded.core.errors import Unavailable
from noded.core.store import View

CATCH_UP_S_MAX: Final = 0.5  # without a majority nothing newer can be learnt: what is here has to do

log = structlog.get_logger(__name__)


async def freshest_view(cluster: Cluster) -> View:
    """Everything acknowledged anywhere before the call; what this node has, if that can't be had soon."""
    if cluster.leader_id is not None:
        with trio.move_on_after(CATCH_UP_S_MAX):
            try:
                return await cluster.fresh_view()
            except Unavailable as reason:
                log.info("answered from what this node has", reason=reason.message)
    return cluster.view()
