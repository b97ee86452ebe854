"""The cluster's nodes: founding, admission, addresses, voters. Served by noded's own API below `/noded/v1`."""

from consensus.members.commands import AdmitNode, FoundCluster, ReportNode
from consensus.members.model import ClusterAuthority, ClusterFacts, Node
from noded.core.service import Service

SERVICE = Service(
    name="consensus.members",
    records=(ClusterFacts, ClusterAuthority, Node),
    commands=(FoundCluster, AdmitNode, ReportNode),
)
