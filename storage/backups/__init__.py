"""Backups of volumes (Cinder, block storage v3): full and incremental, to the pool, to directories and to S3."""

from noded.core.service import Service
from storage.backups.api import ROUTES
from storage.backups.authority import CALLS
from storage.backups.commands import ChangeBackup, CreateBackup, DeleteBackup, ImportBackup, ResetBackup
from storage.backups.departure import departure
from storage.backups.examine import examine_backups, examine_targets
from storage.backups.explain import EXPLAIN
from storage.backups.model import Backup, BackupTarget
from storage.backups.reconcile import BackupsReconciler
from storage.backups.targets import AddTarget, ChooseTarget, DropTarget
from storage.backups.work import (
    BackupRemoved,
    BeginRestore,
    FailBackup,
    FinishBackup,
    FinishRestore,
    LeaveBackup,
    TakeBackup,
)
from storage.endpoint import BLOCK_STORAGE

SERVICE = Service(
    name="storage.backups",
    endpoint=BLOCK_STORAGE,
    records=(Backup, BackupTarget),
    commands=(
        AddTarget,
        BackupRemoved,
        BeginRestore,
        ChangeBackup,
        ChooseTarget,
        CreateBackup,
        DeleteBackup,
        DropTarget,
        FailBackup,
        FinishBackup,
        FinishRestore,
        ImportBackup,
        LeaveBackup,
        ResetBackup,
        TakeBackup,
    ),
    routes=ROUTES,
    reconcilers=(BackupsReconciler,),
    local_calls=CALLS,
    explain=EXPLAIN,
    departure=departure,
    examines_records=(examine_backups,),
    examines_machine=(examine_targets,),
)
