"""How quotas and limits look in Cinder's API."""

from noded.core.store import View
from storage.quotas.model import DEFAULTS, PER_TYPE, UNLIMITED, class_limits, limits_of, used_by
from storage.types.model import all_types


def resources(view: View) -> list[str]:
    """Everything that can be limited: the plain resources, and each of them a volume type."""
    return [*DEFAULTS, *(f"{resource}_{kind.name}" for kind in all_types(view) for resource in PER_TYPE)]


def quota_set(view: View, project_id: str) -> dict[str, object]:
    """What a project may use."""
    limits = limits_of(view, project_id)
    return {"id": project_id} | {name: limits.get(name, UNLIMITED) for name in resources(view)}


def usage_set(view: View, project_id: str) -> dict[str, object]:
    """What a project may use, and what it uses."""
    limits, used = limits_of(view, project_id), _used(view, project_id)
    return {"id": project_id} | {
        name: {"limit": limits.get(name, UNLIMITED), "in_use": used.get(name, 0), "reserved": 0}
        for name in resources(view)
    }


def class_set(view: View, name: str) -> dict[str, object]:
    """What the projects of a class may use."""
    limits = class_limits(view, name)
    return {each: limits.get(each, UNLIMITED) for each in resources(view)}


def _used(view: View, project_id: str) -> dict[str, int]:
    """What a project uses, by the names that the API has for it."""
    used = used_by(view, project_id)
    for kind in all_types(view):
        for resource in PER_TYPE:
            used[f"{resource}_{kind.name}"] = used.get(f"{resource}:{kind.id}", 0)
    return used


def limits_view(view: View, project_id: str) -> dict[str, object]:
    """How much the project has, and may have."""
    limits, used = limits_of(view, project_id), used_by(view, project_id)
    absolute = {
        "maxTotalVolumes": limits["volumes"],
        "maxTotalVolumeGigabytes": limits["gigabytes"],
        "maxTotalSnapshots": limits["snapshots"],
        "maxTotalBackups": limits["backups"],
        "maxTotalBackupGigabytes": limits["backup_gigabytes"],
        "totalVolumesUsed": used.get("volumes", 0),
        "totalGigabytesUsed": used.get("gigabytes", 0),
        "totalSnapshotsUsed": used.get("snapshots", 0),
        "totalBackupsUsed": used.get("backups", 0),
        "totalBackupGigabytesUsed": used.get("backup_gigabytes", 0),
    }
    return {"limits": {"rate": [], "absolute": absolute}}
