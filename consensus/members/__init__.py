"""The cluster's nodes: founding, admission, addresses, voters. Served by noded's own API below `/noded/v1`."""

from consensus.endpoint import NODED
from consensus.members.api import ROUTES
from consensus.members.authority import LOCAL_CALLS, PEER_CALLS
from consensus.members.commands import (
    AdmitNode,
    DrainNode,
    FoundCluster,
    LabelNode,
    RemoveNode,
    RenameNode,
    ReportNode,
)
from consensus.members.model import ClusterAuthority, ClusterFacts, GoneNode, Node
from consensus.members.reconcile import MembersReconciler
from noded.core.service import Service

SERVICE = Service(
    name="consensus.members",
    endpoint=NODED,
    records=(ClusterFacts, ClusterAuthority, Node, GoneNode),
    commands=(FoundCluster, AdmitNode, ReportNode, DrainNode, RenameNode, LabelNode, RemoveNode),
    routes=ROUTES,
    peer_calls=PEER_CALLS,
    local_calls=LOCAL_CALLS,
    reconcilers=(MembersReconciler,),
)
