"""How resources are counted against their project's limits, and how limits are set."""

from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import OverQuota
from noded.core.ids import ProjectId
from noded.core.store import Transaction
from storage.quotas.model import (
    PER_TYPE,
    PER_VOLUME,
    Charge,
    QuotaLimits,
    QuotaUse,
    limits_of,
)


def charge(
    tx: Transaction,
    owner_id: str,
    project_id: ProjectId,
    amounts: dict[str, int],
    *,
    type_id: str = "",
    type_name: str = "",
) -> None:
    """Count the resource `owner_id` as `amounts`, whatever it was counted as before. Raises `OverQuota`.

    Only what grows is checked: a project that is over its limits may shrink, rename and give away.
    """
    before = tx.get(Charge, owner_id)
    if before is not None and before.project_id != project_id:
        discharge(tx, owner_id)
        before = None
    wanted, limited = _keys(amounts, type_id, type_name)
    given = _keys(before.amounts, before.type_id, "")[0] if before is not None else {}
    use = tx.get(QuotaUse, project_id) or QuotaUse(id=project_id)
    limits = limits_of(tx, project_id)
    used = dict(use.used)
    for key in sorted({*wanted, *given}):
        more = wanted.get(key, 0) - given.get(key, 0)
        total = used.get(key, 0) + more
        limit = limits.get(limited.get(key, key), -1)
        if more > 0 and 0 <= limit < total:
            raise OverQuota(_exceeded(limited.get(key, key), used.get(key, 0), more, limit))
        used[key] = max(0, total)
    tx.put(replace(use, used={key: count for key, count in used.items() if count}))
    tx.put(Charge(id=owner_id, project_id=project_id, amounts=amounts, type_id=type_id))


def discharge(tx: Transaction, owner_id: str) -> None:
    """The resource is gone: what it was counted as is given back. Again: nothing."""
    before = tx.get(Charge, owner_id)
    if before is None:
        return
    given = _keys(before.amounts, before.type_id, "")[0]
    use = tx.get(QuotaUse, before.project_id) or QuotaUse(id=before.project_id)
    used = use.used | {key: use.used.get(key, 0) - amount for key, amount in given.items()}
    tx.put(replace(use, used={key: count for key, count in used.items() if count > 0}))
    tx.delete(Charge, owner_id)


def check_size(tx: Transaction, project_id: ProjectId, gib: int) -> None:
    """Refuse one volume that is larger than the project's volumes may be."""
    limit = limits_of(tx, project_id)[PER_VOLUME]
    if 0 <= limit < gib:
        raise OverQuota(f"Requested volume size {gib}G is larger than maximum allowed limit {limit}G.")


def _keys(amounts: dict[str, int], type_id: str, type_name: str) -> tuple[dict[str, int], dict[str, str]]:
    """The amounts by the key that they are counted under, and by key the name of the limit that holds for it."""
    keys = dict(amounts)
    names: dict[str, str] = {}
    if type_id:
        for resource in PER_TYPE:
            if resource in amounts:
                key = f"{resource}:{type_id}"
                keys[key] = amounts[resource]
                names[key] = f"{resource}_{type_name}"
    return keys, names


def _exceeded(name: str, used: int, more: int, limit: int) -> str:
    if "gigabytes" in name:
        return (
            f"Requested volume or snapshot exceeds allowed {name} quota. Requested {more}G, quota is {limit}G and"
            f" {used}G has been consumed."
        )
    return f"Maximum number of {name} allowed ({limit}) exceeded for quota '{name}'; {used} are there. Delete some."


class SetQuota(Command, frozen=True, kw_only=True, tag="quota.set.1"):
    """New limits for a project, or for a class of projects; what is not named stays as it is."""

    TOLD: ClassVar[str] = "set the block storage quota of {owner}"

    owner: str  # a project's id, or `class:NAME`
    limits: dict[str, int]

    def apply(self, tx: Transaction) -> None:
        before = tx.get(QuotaLimits, self.owner) or QuotaLimits(id=self.owner)
        tx.put(replace(before, limits=before.limits | self.limits))


class ResetQuota(Command, frozen=True, kw_only=True, tag="quota.reset.1"):
    """From now on the default limits hold for the project."""

    TOLD: ClassVar[str] = "reset the block storage quota of {project_id}"

    FREES_ROOM: ClassVar[bool] = True

    project_id: ProjectId

    def apply(self, tx: Transaction) -> None:
        if tx.get(QuotaLimits, self.project_id) is not None:
            tx.delete(QuotaLimits, self.project_id)


def rename_type_limits(tx: Transaction, before: str, after: str) -> None:
    """A volume type has a new name: the limits that were set for it go with it."""
    for record in tx.all(QuotaLimits):
        names = {f"{resource}_{before}": f"{resource}_{after}" for resource in PER_TYPE}
        if any(name in record.limits for name in names):
            tx.put(replace(record, limits={names.get(name, name): limit for name, limit in record.limits.items()}))
