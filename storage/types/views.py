"""How a volume type looks in Cinder's API."""

from noded.core.times import naive_micro
from storage.types.model import ProjectType, VolumeType


def type_created(kind: VolumeType) -> dict[str, object]:
    """The answer to a creation."""
    return {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "is_public": kind.is_public,
        "os-volume-type-access:is_public": kind.is_public,
        "extra_specs": dict(kind.extra_specs),
    }


def type_changed(kind: VolumeType) -> dict[str, object]:
    """The answer to a change, which leaves one key out."""
    body = type_created(kind)
    del body["os-volume-type-access:is_public"]
    return body


def type_view(kind: VolumeType, *, for_admin: bool) -> dict[str, object]:
    """A type as it is shown and listed; its quality of service is for administrators."""
    return type_created(kind) | ({"qos_specs_id": kind.qos_id} if for_admin else {})


def access_view(kind: VolumeType) -> dict[str, object]:
    """Which projects may use it."""
    return {
        "volume_type_access": [{"volume_type_id": kind.id, "project_id": project_id} for project_id in kind.projects]
    }


def encryption_view(kind: VolumeType) -> dict[str, object]:
    """How its volumes are encrypted; nothing where they are not."""
    if kind.encryption is None:
        return {}
    return encryption_created(kind) | {
        "deleted": False,
        "created_at": naive_micro(kind.encryption.created_at_ms),
        "updated_at": None,
        "deleted_at": None,
    }


def encryption_created(kind: VolumeType) -> dict[str, object]:
    """The answer to a creation of an encryption."""
    assert kind.encryption is not None, "it was made just now"
    return {
        "volume_type_id": kind.id,
        "encryption_id": kind.encryption.encryption_id,
        "provider": kind.encryption.provider,
        "control_location": kind.encryption.control_location,
        "cipher": kind.encryption.cipher,
        "key_size": kind.encryption.key_bits,
    }


def default_view(default: ProjectType) -> dict[str, object]:
    """The type of a project's volumes that name none."""
    return {"project_id": default.id, "volume_type_id": default.type_id}
