"""How a node's machine comes to carry the ports bound to it. No API of its own: Neutron's resources say what."""

from net.wiring.api import EXPLAIN, PEER_CALLS
from net.wiring.examine import examine_wiring
from net.wiring.reconcile import ports_reconciler
from noded.core.service import Service

SERVICE = Service(
    name="net.wiring",
    reconcilers=(ports_reconciler,),
    explain=EXPLAIN,
    peer_calls=PEER_CALLS,
    examines_machine=(examine_wiring,),
)
