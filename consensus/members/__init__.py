"""The cluster's nodes: founding, admission, addresses, voters. Served by noded's own API below `/noded/v1`."""

from consensus.endpoint import NODED
from consensus.members.api import ROUTES
from consensus.members.commands import AdmitNode, FoundCluster, ReportNode
from consensus.members.model import ClusterAuthority, ClusterFacts, Node
from consensus.members.reconcile import CertificatesReconciler, MembersReconciler
from noded.core.service import Service

SERVICE = Service(
    name="consensus.members",
    endpoint=NODED,
    records=(ClusterFacts, ClusterAuthority, Node),
    commands=(FoundCluster, AdmitNode, ReportNode),
    routes=ROUTES,
    reconcilers=(MembersReconciler, CertificatesReconciler),
)
