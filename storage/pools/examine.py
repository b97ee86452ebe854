"""Answers `noded doctor` for disks: those that can't be used or take nothing more, and servers of no disk."""

from collections.abc import Iterable

from noded.core.errors import Unavailable
from noded.core.finding import Finding
from noded.core.ids import NodeId
from noded.core.service import PeerContext
from noded.core.store import View
from storage.pools.links import DiskHardware, DiskServers
from storage.pools.model import Disk, DiskState, GivenDisk


def examine_disks(view: View) -> Iterable[Finding]:
    """What the records say of each disk."""
    for disk in view.all(Disk):
        if disk.state is DiskState.FAILED:
            yield Finding(
                kind="failed disk",
                subject=disk.id,
                what=f"disk {disk.name} ({disk.id[:12]}) can't be used",
                why=disk.fault or "its node did not say why",
                mend=f"Mend it, or give it up: `noded disk replace {disk.id[:12]}`. docs/disks.md",
                node_id=disk.node_id,
            )
        elif disk.state is DiskState.FULL:
            yield Finding(
                kind="full disk",
                subject=disk.id,
                what=f"disk {disk.name} ({disk.id[:12]}) has reached its reserve",
                why=f"{disk.used_bytes} of {disk.size_bytes} bytes are used",
                mend="Add a disk (`noded disk add`), or delete what nobody needs.",
                node_id=disk.node_id,
            )


async def examine_disk_servers(context: PeerContext) -> list[Finding]:
    """What was configured here and is no disk, and extent servers that belong to none."""
    servers, node_id = context.drivers.get(DiskServers), context.cluster.node_id
    given = context.cluster.view().find(GivenDisk, "node_id", node_id)
    configured = await servers.find([each.name for each in given])
    running = set(await servers.running())
    view = await context.cluster.fresh_view()
    known = {disk.disk_id: disk for disk in view.find(Disk, "node_id", node_id)}
    names = {disk.name for disk in known.values()}
    found = [
        _finding(
            "unused disk",
            node_id,
            disk.name,
            f"{disk.name} was given to the pool and is not used",
            disk.fault,
            "Empty it, mount what belongs there, or take it out of the node's configuration.",
        )
        for disk in configured
        if disk.fault and disk.name not in names
    ]
    found += [
        _finding(
            "orphan extent server",
            node_id,
            disk_id,
            f"an extent server for disk {disk_id} runs here",
            "the pool has no such disk on this node",
            "Take its directory out of the node's configuration and end the process, or add the disk again.",
        )
        for disk_id in sorted(running - known.keys())
    ]
    found += [
        _finding(
            "missing extent server",
            node_id,
            disk_id,
            f"no extent server for disk {disk.name} ({disk_id[:12]}) runs here",
            "it has ended, and is not started again yet",
            "It is started by itself within seconds; if not, see the node's log.",
        )
        for disk_id, disk in sorted(known.items())
        if disk_id not in running and disk.state is not DiskState.FAILED
    ]
    return found + await _warnings(context)


async def _warnings(context: PeerContext) -> list[Finding]:
    """What this node's drives say of themselves, where they say anything."""
    hardware, node_id = context.drivers.get(DiskHardware), context.cluster.node_id
    found = []
    for disk in context.cluster.view().find(Disk, "node_id", node_id):
        if disk.state is DiskState.FAILED:
            continue
        try:
            drive = await hardware.describe(disk.name)
        except Unavailable:
            continue  # a directory that is on no drive of this machine tells nothing
        for warning in drive.smart.warnings if drive.smart is not None else ():
            what = f"the drive {drive.device} of disk {disk.name} says: {warning}"
            mend = f"Exchange it before it fails: `noded disk replace {disk.id[:12]}`. docs/disks.md"
            found.append(_finding("worn drive", node_id, f"{disk.id}: {warning}", what, f"serial {drive.serial}", mend))
    return found


def _finding(kind: str, node_id: NodeId, subject: str, what: str, why: str, mend: str) -> Finding:
    return Finding(kind=kind, subject=subject, what=what, why=why, mend=mend, node_id=node_id)
