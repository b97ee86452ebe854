"""What a node measures of itself: CPU, memory, where it stands in the log."""

from consensus.disks.links import LogEnd
from noded.core.metric import Metric, MetricKind
from noded.core.service import PeerContext
from noded.inspection.links import VitalsReader


async def measure_node(context: PeerContext) -> list[Metric]:
    """The figures of `noded status`, of this node alone."""
    vitals, end, cluster = context.drivers.get(VitalsReader).read(), context.drivers.get(LogEnd), context.cluster
    figures = {
        "noded_node_cpus": ("CPUs", vitals.cpus),
        "noded_node_cpu_ratio": ("Of all CPUs, how much was used since the last reading", vitals.cpu_percent / 100),
        "noded_node_load1": ("Load of the last minute", vitals.load_1min),
        "noded_node_memory_total_bytes": ("Memory", vitals.memory.total_bytes),
        "noded_node_memory_used_bytes": ("Memory that is used", vitals.memory.used_bytes),
        "noded_log_leader": ("1 on the node that leads the log", float(cluster.leader_id == cluster.node_id)),
        "noded_log_majority": ("1 while the node sees a majority of the voters", float(cluster.has_majority)),
        "noded_log_free_bytes": ("What is free on the disk that the log lies on", end.room.free_bytes),
        "noded_nodes_reachable": ("Nodes that this one hears, itself included", len(cluster.reachable())),
    }
    found = []
    for name, (help_text, value) in figures.items():
        metric = Metric(name=name, help=help_text)
        metric.set(value, {})
        found.append(metric)
    revision = Metric(name="noded_log_revision", help="How far the log is applied", kind=MetricKind.COUNTER)
    revision.set(cluster.view().revision, {})
    return [*found, revision]
