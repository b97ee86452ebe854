"""Who is up, seen by whom, since when? No heartbeat is in the log; only that a node is down, if a majority says so."""

from consensus.endpoint import NODED
from consensus.liveness.api import ROUTES
from consensus.liveness.authority import PEER_CALLS
from consensus.liveness.commands import DeclareDown, DeclareUp
from consensus.liveness.explain import explain_node
from consensus.liveness.model import NodeVerdict
from consensus.liveness.plan import departure
from consensus.liveness.reconcile import PulseReconciler, VerdictsReconciler
from noded.core.service import Service

SERVICE = Service(
    name="consensus.liveness",
    endpoint=NODED,
    records=(NodeVerdict,),
    commands=(DeclareDown, DeclareUp),
    routes=ROUTES,
    reconcilers=(PulseReconciler, VerdictsReconciler),
    peer_calls=PEER_CALLS,
    explain={"node": explain_node},
    departure=departure,
)
