"""Which of Cinder's parts are offered, under the names that its clients look for. Pure."""

from typing import Final

_UPDATED: Final = "2013-04-18T00:00:00+00:00"
_EXTENSIONS: Final[dict[str, tuple[str, str]]] = {
    "capabilities": ("Capabilities", "What a backend can do."),
    "encryption": ("VolumeTypeEncryption", "How volumes of a type are encrypted."),
    "os-admin-actions": ("AdminActions", "Reset a status, delete by force."),
    "os-availability-zone": ("AvailabilityZones", "The availability zones."),
    "os-extended-services": ("ExtendedServices", "Why a service is disabled."),
    "os-hosts": ("Hosts", "The nodes, and what lies on them."),
    "os-quota-class-sets": ("Quota_classes", "What projects may use for which nothing was set."),
    "os-quota-sets": ("Quotas", "What a project may use."),
    "os-services": ("Services", "The parts of the nodes."),
    "os-types-extra-specs": ("TypesExtraSpecs", "What a volume type promises."),
    "os-types-manage": ("TypesManage", "Make and take away volume types."),
    "os-used-limits": ("UsedLimits", "What a project uses."),
    "os-vol-host-attr": ("VolumeHostAttribute", "Where a volume is."),
    "os-vol-image-meta": ("VolumeImageMetadata", "What is known of the image in a volume."),
    "os-vol-tenant-attr": ("VolumeTenantAttribute", "Whose a volume is."),
    "os-volume-actions": ("VolumeActions", "Reserve, attach, detach, set flags."),
    "os-volume-transfer": ("VolumeTransfer", "Give a volume to another project."),
    "os-volume-type-access": ("VolumeTypeAccess", "Who may use a private type."),
    "qos-specs": ("Qos_specs_manage", "How much I/O the volumes of a type may do."),
    "scheduler-stats": ("Scheduler_stats", "What the pools hold."),
}
_FILTERS: Final[dict[str, tuple[str, ...]]] = {
    "volume": (
        "name", "status", "metadata", "bootable", "availability_zone", "glance_metadata", "volume_type", "size",
        "id", "description", "multiattach", "created_at", "updated_at",
    ),
    "pool": ("name",),
    "message": ("resource_uuid", "resource_type", "event_id", "request_id", "message_level"),
    "volume_type": ("is_public", "extra_specs", "name"),
    "volume_transfer": ("name", "volume_id", "id"),
}  # fmt: skip


def extensions() -> list[dict[str, object]]:
    """Every part, as the list of extensions has it."""
    return [
        {
            "alias": alias,
            "name": name,
            "description": description,
            "namespace": f"https://docs.openstack.org/volume/ext/{alias}/api/v3",
            "updated": _UPDATED,
            "links": [],
        }
        for alias, (name, description) in _EXTENSIONS.items()
    ]


def resource_filters() -> list[dict[str, object]]:
    """By which words each list can be narrowed."""
    return [{"resource": resource, "filters": list(filters)} for resource, filters in _FILTERS.items()]
