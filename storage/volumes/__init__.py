"""Volumes (Cinder, block storage v3): replicated extents with one writer, cloned and deleted."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.volumes.api import ROUTES
from storage.volumes.authority import CALLS
from storage.volumes.claims import ClaimVolume, GrowInSync, ShrinkInSync, ThawVolume
from storage.volumes.commands import ChangeVolume, ConfirmRemoval, DeleteVolume
from storage.volumes.creation import CreateVolume
from storage.volumes.cuts import GiveUpCut, MakeCut
from storage.volumes.departure import DropReplicas, departure
from storage.volumes.examine import examine_replicas, examine_servers, examine_volumes
from storage.volumes.explain import EXPLAIN, PEER_CALLS
from storage.volumes.measure import measure_volumes
from storage.volumes.model import Cut, Group, Volume
from storage.volumes.moving import AdoptReplicas, CancelJoins, ConfirmDrop, JoinReplicas, LeaveDisk
from storage.volumes.reconcile import (
    CutsReconciler,
    MovesReconciler,
    RemovalsReconciler,
    RepairsReconciler,
    VolumeServersReconciler,
)
from storage.volumes.sources import CreateClone as CreateClone  # for other services

SERVICE = Service(
    name="storage.volumes",
    endpoint=BLOCK_STORAGE,
    records=(Volume, Cut, Group),
    commands=(
        AdoptReplicas,
        CancelJoins,
        ConfirmDrop,
        JoinReplicas,
        LeaveDisk,
        ChangeVolume,
        ClaimVolume,
        ConfirmRemoval,
        CreateClone,
        CreateVolume,
        DeleteVolume,
        DropReplicas,
        GiveUpCut,
        GrowInSync,
        MakeCut,
        ShrinkInSync,
        ThawVolume,
    ),
    routes=ROUTES,
    reconcilers=(VolumeServersReconciler, RemovalsReconciler, CutsReconciler, RepairsReconciler, MovesReconciler),
    peer_calls={**CALLS, **PEER_CALLS},
    explain=EXPLAIN,
    departure=departure,
    measures=(measure_volumes,),
    examines_records=(examine_volumes,),
    examines_machine=(examine_replicas, examine_servers),
)
