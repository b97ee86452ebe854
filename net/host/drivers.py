"""Which drivers networks need on a real machine: what the daemon registers, and what it runs."""

from net.host.machine import MachineDataplane
from net.links import Dataplane, PortWiring
from net.wiring.reconcile import Wiring
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers


def add_net_drivers(drivers: Drivers, cluster: Cluster) -> MachineDataplane:
    """Register `Dataplane` and `PortWiring`. The daemon then runs what is returned (`run`) for as long as it lives.

    `ServerFacts` is compute's to register; it is asked for when the first guest asks for its metadata.
    """
    dataplane = MachineDataplane(cluster, drivers)
    drivers.add(Dataplane, dataplane)
    drivers.add(PortWiring, Wiring(cluster, dataplane))
    return dataplane
