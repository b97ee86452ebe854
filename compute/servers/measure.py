"""What a node measures of its servers."""

from collections import Counter

from compute.servers.model import Phase, Server, phase_of
from noded.core.metric import Metric
from noded.core.service import PeerContext


async def measure_servers(context: PeerContext) -> list[Metric]:
    """How many servers of this node do what."""
    metric = Metric(name="noded_servers", help="Servers of this node, by what they do")
    mine = context.cluster.view().find(Server, "node_id", context.cluster.node_id)
    counts = Counter(phase_of(server) for server in mine)
    for phase in Phase:
        metric.set(counts[phase], {"phase": phase.value})
    return [metric]
