"""What is to be said of a disk, given what the cluster knows and what was observed. Decides; touches nothing."""

from typing import Final

from noded.core.command import Command
from noded.core.ids import DiskId, NodeId
from storage.pools.commands import RegisterDisk, ReportDisk
from storage.pools.links import ServedDisk
from storage.pools.model import Disk, DiskState, reserve_of

REPORT_STEP: Final = 20  # how full a disk is gets reported when it has changed by a twentieth of its size
ROOM_AGAIN: Final = 50  # a full disk counts as having room again when a fiftieth of it is free


def served_report(
    known: Disk | None, disk_id: DiskId, node_id: NodeId, name: str, served: ServedDisk, now_ms: int
) -> Command | None:
    """The command that tells the cluster of a disk that serves, or None where it knows enough."""
    if known is None or _moved(known, node_id, name, served) or known.state is DiskState.FAILED:
        return RegisterDisk(
            disk_id=disk_id,
            node_id=node_id,
            name=name,
            size_bytes=served.size_bytes,
            used_bytes=served.used_bytes,
            host=served.host,
            port=served.port,
            now_ms=now_ms,
        )
    state = _state(known, served)
    step = known.size_bytes // REPORT_STEP
    if state is known.state and abs(served.used_bytes - known.used_bytes) < max(step, 1):
        return None
    return ReportDisk(disk_id=disk_id, node_id=node_id, state=state, used_bytes=served.used_bytes)


def fault_report(known: Disk, fault: str, now_ms: int) -> Command | None:
    """The command that tells the cluster that a disk can't be used, or None where it knows."""
    if known.state is DiskState.FAILED and known.fault == fault:
        return None
    return ReportDisk(
        disk_id=known.disk_id,
        node_id=known.node_id,
        state=DiskState.FAILED,
        fault=fault,
        used_bytes=known.used_bytes,
        now_ms=now_ms,
    )


def _moved(known: Disk, node_id: NodeId, name: str, served: ServedDisk) -> bool:
    before = (known.node_id, known.name, known.host, known.port, known.size_bytes)
    return before != (node_id, name, served.host, served.port, served.size_bytes)


def _state(known: Disk, served: ServedDisk) -> DiskState:
    free = served.size_bytes - served.used_bytes - reserve_of(served.size_bytes)
    if known.state is DiskState.FULL:
        # Not at once: a disk on the border would change its mind with every write.
        return DiskState.IN_USE if free > served.size_bytes // ROOM_AGAIN else DiskState.FULL
    return DiskState.FULL if free <= 0 else DiskState.IN_USE
