"""The disks of all nodes: what the pool consists of. No OpenStack API; Cinder's and Glance's data live on it."""

from noded.core.service import Service
from storage.pools.commands import (
    GiveDisk,
    RegisterDisk,
    RemoveDisks,
    ReportDisk,
    ScrubDisk,
    SetDisk,
    SetMovePolicy,
    SetPoolPolicy,
)
from storage.pools.departure import departure
from storage.pools.examine import examine_disk_servers, examine_disks
from storage.pools.measure import measure_disks
from storage.pools.model import Disk, GivenDisk, MovePolicy, PoolPolicy
from storage.pools.reconcile import DisksReconciler

SERVICE = Service(
    name="storage.pools",
    records=(Disk, GivenDisk, MovePolicy, PoolPolicy),
    commands=(GiveDisk, RegisterDisk, ReportDisk, RemoveDisks, ScrubDisk, SetDisk, SetMovePolicy, SetPoolPolicy),
    reconcilers=(DisksReconciler,),
    departure=departure,
    measures=(measure_disks,),
    examines_records=(examine_disks,),
    examines_machine=(examine_disk_servers,),
)
