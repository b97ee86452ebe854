"""What a node measures of its disks."""

from noded.core.errors import Refused
from noded.core.metric import Metric, MetricKind
from noded.core.service import PeerContext
from storage.pools.links import DiskHardware
from storage.pools.model import Disk, DiskState


async def measure_disks(context: PeerContext) -> list[Metric]:
    """Each disk of this node, by its id, and its drive."""
    size = Metric(name="noded_disk_size_bytes", help="Size of a disk of the pool")
    used = Metric(name="noded_disk_used_bytes", help="What is used of it, in steps of a twentieth")
    reserve = Metric(name="noded_disk_reserve_bytes", help="What is kept free of it")
    state = Metric(name="noded_disk_state", help="1 for the state that it is in")
    moved = Metric(
        name="noded_disk_moved_in_bytes_total", help="What was copied to it from other disks", kind=MetricKind.COUNTER
    )
    warnings = Metric(name="noded_drive_warnings", help="How many warnings its drive gives (SMART)")
    celsius = Metric(name="noded_drive_temperature_celsius", help="How warm its drive is")
    hardware = context.drivers.get(DiskHardware)
    for disk in context.cluster.view().find(Disk, "node_id", context.cluster.node_id):
        labels = {"disk": disk.id, "name": disk.name}
        size.set(disk.size_bytes, labels)
        used.set(disk.used_bytes, labels)
        reserve.set(disk.reserve_bytes, labels)
        moved.set(disk.moved_in_bytes, labels)
        for each in DiskState:
            state.set(float(disk.state is each), labels | {"state": each.value})
        try:
            smart = (await hardware.describe(disk.name)).smart
        except Refused:
            continue  # there is no drive to be seen
        if smart is not None:
            warnings.set(len(smart.warnings), labels)
            if smart.temperature_c is not None:
                celsius.set(smart.temperature_c, labels)
    return [size, used, reserve, state, moved, warnings, celsius]
