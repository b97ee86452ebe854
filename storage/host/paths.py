"""Where do the storage processes and the daemon meet? The names in the run directory; the one place that says so."""

from pathlib import Path

from noded.core.ids import DiskId, VolumeId


def extent_socket(run: Path, disk_id: DiskId) -> Path:
    """Where the extent server of a local disk listens."""
    return run / "extents" / f"{disk_id}.sock"


def extent_lock(run: Path, disk_id: DiskId) -> Path:
    """What the extent server of a local disk holds locked while it lives."""
    return run / "extents" / f"{disk_id}.lock"


def seals_file(run: Path, disk_id: DiskId) -> Path:
    """Where the extent server of a local disk counts seals for all to see."""
    return run / "extents" / f"{disk_id}.seals"


def volume_directory(run: Path, volume_id: VolumeId) -> Path:
    """All of the below for one volume."""
    return run / "volumes" / volume_id


def nbd_socket(run: Path, volume_id: VolumeId) -> Path:
    """Where QEMU finds a volume."""
    return volume_directory(run, volume_id) / "nbd.sock"


def control_socket(run: Path, volume_id: VolumeId) -> Path:
    """Where the daemon talks to a volume server."""
    return volume_directory(run, volume_id) / "control.sock"


def volume_lock(run: Path, volume_id: VolumeId) -> Path:
    """What a volume server holds locked while it lives."""
    return volume_directory(run, volume_id) / "lock"


def file_directory(run: Path, volume_id: VolumeId) -> Path:
    """Where a volume is mounted as a file."""
    return volume_directory(run, volume_id) / "file"


def volume_file(run: Path, volume_id: VolumeId) -> Path:
    """A volume as a file, while it is exported."""
    return file_directory(run, volume_id) / "disk"


def peers_socket(run: Path) -> Path:
    """Where the daemon takes the peer calls of processes on its own node."""
    return run / "peers.sock"
