"""Does this node's clock go as the others' do? Told to whoever says until when something holds."""

from consensus.clocks.authority import PEER_CALLS
from consensus.clocks.reconcile import ClockReconciler
from noded.core.service import Service

SERVICE = Service(name="consensus.clocks", peer_calls=PEER_CALLS, reconcilers=(ClockReconciler,))
