"""Which drivers does storage need of this machine? The daemon adds them all with one call."""

from collections.abc import Sequence
from pathlib import Path

from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from storage.backups.links import BackupBytes
from storage.disks.links import CapacityBook
from storage.encryption.links import LuksDisks
from storage.host.backup_bytes import HostBackups
from storage.host.capacity_file import CapacityFile
from storage.host.disk_servers import HostDisks
from storage.host.hardware import HostHardware
from storage.host.luks import HostLuks
from storage.host.volume_servers import HostVolumes
from storage.pools.links import DiskHardware, DiskServers
from storage.volumes.links import VolumeAttachments, VolumeFiles, VolumeServers


def add_storage_drivers(
    drivers: Drivers,
    *,
    node_id: NodeId,
    directories: Sequence[str],
    address: str,
    state_dir: Path,
    tls_dir: Path,
    run_dir: Path,
    log_dir: Path,
) -> None:
    """Register what serves disks and volumes. `address` is where the other nodes reach this one."""
    drivers.add(
        DiskServers, HostDisks(directories=directories, address=address, tls=tls_dir, run=run_dir, logs=log_dir)
    )
    drivers.add(CapacityBook, CapacityFile(state_dir / "capacity.json"))
    drivers.add(DiskHardware, HostHardware(tuple(directories)))
    volumes = HostVolumes(node_id=node_id, tls=tls_dir, run=run_dir, logs=log_dir)
    drivers.add(VolumeAttachments, volumes)
    drivers.add(VolumeFiles, volumes)
    drivers.add(VolumeServers, volumes)
    drivers.add(BackupBytes, HostBackups())
    drivers.add(LuksDisks, HostLuks())
