"""How the log's disks are shown by noded's own API, and what an operator should do about them."""

from consensus.disks.model import LogStatus
from consensus.room import LogRoom, Standing
from noded.core.units import MIB


def log_view(status: LogStatus) -> dict[str, object]:
    """One node's JSON."""
    report = status.report
    view: dict[str, object] = {
        "node_id": status.node_id,
        "name": status.name,
        "leader": status.leader,
        "answers": False,
    }
    if report is None:
        return view
    life = report.incarnation
    return view | {
        "answers": True,
        "applied": report.applied,
        "life": None if life is None else {"count": life.count, "id": life.id},
        "disk": disk_view(report.room),
        "advice": advice(status.name, report.room),
    }


def disk_view(room: LogRoom) -> dict[str, object]:
    """The disk, in bytes."""
    return {
        "standing": room.standing.name.lower(),
        "free_bytes": room.free_bytes,
        "needed_bytes": room.needed_bytes,
        "reserve_bytes": room.reserve_bytes,
        "checkpoint_fault": room.checkpoint_fault,
        "stopped_by": sorted(room.stopped_by),
    }


def advice(name: str, room: LogRoom) -> str:
    """What is wrong with a node's disk and what cures it; empty if nothing is."""
    free, needed = room.free_bytes // MIB, -(-room.needed_bytes // MIB)
    if room.standing is Standing.FULL:
        return (
            f"The log's disk on {name} has {free} MiB free and {needed} are needed: the node takes no entries and can't"
            " lead. Make room there; it catches up by itself."
        )
    if room.standing is Standing.LOW:
        return (
            f"The log's disk on {name} has {free} MiB free and {needed} are needed: it leads no longer. Make room"
            " there."
        )
    if room.checkpoint_fault:
        return (
            f"{name} can't write a checkpoint ({room.checkpoint_fault}), so its journal grows. It tries again by"
            " itself; see to that disk."
        )
    return ""
