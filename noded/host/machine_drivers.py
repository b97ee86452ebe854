"""Which drivers does a node need that carries guests, disks and networks, and how does it let go of them?"""

import structlog
import trio

from compute.host.drivers import add_compute_drivers
from compute.hypervisor import GuestFault, Hypervisor
from consensus.host.tls import tls_directory
from images.host.drivers import add_image_drivers
from net.host.drivers import add_net_drivers
from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.reconciler import Drivers
from noded.host.log_member import Standing
from storage.host.drivers import add_storage_drivers
from storage.pools.links import DiskServers
from storage.volumes.links import VolumeServers

log = structlog.get_logger(__name__)


def add_machine_drivers(drivers: Drivers, standing: Standing, cluster: Cluster, nursery: trio.Nursery) -> None:
    """Register them all; what must run all the time runs in `nursery`."""
    config, entry = standing.config, standing.entry
    nursery.start_soon(add_net_drivers(drivers, cluster).run)
    add_storage_drivers(
        drivers,
        node_id=standing.identity.node_id,
        directories=config.disks,
        address=entry.addresses[0],
        state_dir=config.state,
        tls_dir=tls_directory(config.state),
        run_dir=config.run,
        log_dir=config.logs,
    )
    add_image_drivers(drivers)
    add_compute_drivers(
        drivers,
        cluster,
        name=entry.name,
        address=entry.addresses[0],
        libvirt_uri=config.libvirt_uri,
        state_dir=config.state,
        run_dir=config.run,
        guest_memory_mib=config.guest_memory_mib,
    )


async def release_machine(drivers: Drivers) -> None:
    """End what this node ran for a cluster that it is no member of any more.

    Others carry its servers by now, so what still runs here can't write to their disks. What the pool's disks hold
    stays; their extent servers end, for their ports are tried when the node joins again.
    """
    hypervisor, volumes = drivers.get(Hypervisor), drivers.get(VolumeServers)
    for server_id in await hypervisor.guests():
        try:
            await hypervisor.remove(server_id)
        except GuestFault as fault:
            log.warning("guest not removed", server=server_id, reason=str(fault))
    for volume_id in await volumes.running():
        try:
            await volumes.end(volume_id)
        except Refused as refused:
            log.warning("volume server not ended", volume=volume_id, reason=refused.message)
    await drivers.get(DiskServers).end_all()
