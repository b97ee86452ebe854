"""Where guests go: each node's capacity, who holds how much of it, and the choice of a node (Nova's hypervisors)."""

from compute.endpoint import COMPUTE
from compute.placement.api import ROUTES
from compute.placement.commands import RemoveComputeNode, ReportComputeNode
from compute.placement.model import Allocation, ComputeNode
from compute.placement.reconcile import CapacityReporter
from noded.core.service import Service

SERVICE = Service(
    name="compute.placement",
    endpoint=COMPUTE,
    records=(ComputeNode, Allocation),
    commands=(ReportComputeNode, RemoveComputeNode),
    routes=ROUTES,
    reconcilers=(CapacityReporter,),
)
