"""Answers `noded doctor` for quotas: sums that are not the sum of their parts, and charges for what is gone."""

from collections import Counter
from collections.abc import Iterable

from noded.core.finding import Finding
from noded.core.ids import ProjectId
from noded.core.store import View
from storage.backups.model import Backup
from storage.quotas.model import PER_TYPE, Charge, QuotaUse
from storage.snapshots.model import Snapshot
from storage.volumes.model import Group, Volume


def examine_quotas(view: View) -> Iterable[Finding]:
    """What is counted, beside what is there."""
    sums: dict[ProjectId, Counter[str]] = {}
    for charge in view.all(Charge):
        if all(view.get(kind, charge.id) is None for kind in (Volume, Snapshot, Backup, Group)):
            yield _finding(charge.id, f"project {charge.project_id} is charged for {charge.id}, which is not there")
        total = sums.setdefault(charge.project_id, Counter())
        total.update(charge.amounts)
        if charge.type_id:
            total.update({f"{name}:{charge.type_id}": charge.amounts.get(name, 0) for name in PER_TYPE})
    uses = {ProjectId(use.id): use.used for use in view.all(QuotaUse)}
    for project_id in sorted({*sums, *uses}):
        counted = {name: number for name, number in sums.get(project_id, Counter()).items() if number}
        if counted != {name: number for name, number in uses.get(project_id, {}).items() if number}:
            yield _finding(project_id, f"what project {project_id} uses is not the sum of what it is charged for")


def _finding(subject: str, what: str) -> Finding:
    return Finding(
        kind="wrong quota",
        subject=subject,
        what=what,
        why="a fault of noded: both are set by one change",
        mend="Report it, with `noded history`; raise the limit meanwhile.",
    )
