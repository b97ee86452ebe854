"""How an image looks in Glance's API. The status words are derived here and stored nowhere."""

from typing import Final

from images.catalog.model import Image
from noded.core.times import zulu

# What every image has; any other key of an image is a property that a user made up.
BASE_KEYS: Final = (
    "id", "name", "status", "visibility", "protected", "os_hidden", "owner", "disk_format", "container_format",
    "min_disk", "min_ram", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "tags", "created_at",
    "updated_at", "self", "file", "schema", "stores",
)  # fmt: skip
# What is told of where the data is and how it came: nobody writes it.
DERIVED_KEYS: Final = frozenset({
    "stores", "os_glance_import_task", "os_glance_importing_to_stores", "os_glance_failed_import",
})  # fmt: skip
HASH_ALGORITHM: Final = "sha512"
STORE: Final = "pool"  # the one store: the cluster's storage, whatever disks it has
STATUSES: Final = ("queued", "saving", "uploading", "importing", "active", "deactivated")


def status(image: Image) -> str:
    """Glance's word for where an image is in its life."""
    if image.contents is not None:
        return "deactivated" if image.deactivated else "active"
    if image.task_id is not None:
        return "importing"
    if image.upload_id is None:
        return "queued"
    return "uploading" if image.staging else "saving"


def image_view(image: Image) -> dict[str, object]:
    """The whole image, as lists show it too."""
    contents = image.contents
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "status": status(image),
        "visibility": image.visibility.value,
        "protected": image.protected,
        "os_hidden": image.hidden,
        "owner": image.project_id,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk_gib,
        "min_ram": image.min_ram_mib,
        "size": contents.size_bytes if contents else None,
        "virtual_size": contents.virtual_bytes if contents else None,
        "checksum": contents.md5 if contents else None,
        "os_hash_algo": (contents.algorithm or HASH_ALGORITHM) if contents else None,
        "os_hash_value": (contents.digest or contents.sha512) if contents else None,
        "tags": list(image.tags),
        "created_at": zulu(image.created_at_ms),
        "updated_at": zulu(image.updated_at_ms),
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
        **_stores(image),
    }


def _stores(image: Image) -> dict[str, object]:
    """Where the data is, and how the newest import went: Glance's words for clouds with several stores."""
    told: dict[str, object] = {"stores": STORE} if image.contents is not None else {}
    if image.task_id is not None:
        told["os_glance_import_task"] = image.task_id
    if image.import_failed is not None:
        told["os_glance_importing_to_stores"] = STORE if image.task_id is not None else ""
        told["os_glance_failed_import"] = STORE if image.import_failed else ""
    return told
