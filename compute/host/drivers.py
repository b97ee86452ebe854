"""Which drivers guests need on a real machine: what the daemon registers."""

from pathlib import Path

from compute.host.libvirt import LibvirtHypervisor
from compute.hypervisor import Hypervisor
from compute.servers.links import StoreServerFacts
from net.links import ServerFacts
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers

CONSOLES = "consoles"


def add_compute_drivers(
    drivers: Drivers,
    cluster: Cluster,
    *,
    name: str,
    address: str,
    libvirt_uri: str,
    state_dir: Path,
    run_dir: Path,
    guest_memory_mib: int,
) -> None:
    """Register `Hypervisor`, and what the metadata service asks of compute."""
    hypervisor = LibvirtHypervisor(
        uri=libvirt_uri,
        name=name,
        address=address,
        console_dir=state_dir / CONSOLES,
        socket_dir=run_dir / CONSOLES,
        guest_memory_mib=guest_memory_mib,
    )
    drivers.add(Hypervisor, hypervisor)
    drivers.add(ServerFacts, StoreServerFacts(cluster))
