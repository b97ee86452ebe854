"""What the cluster knows of an image: its description, and which volumes hold its bytes."""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from noded.core.ids import ImageId, ProjectId, VolumeId
from noded.core.record import Record
from noded.core.units import GIB

# An image's own file, and the disk inside it. Root disks are cloned from extents of 16 GiB, 64 of them at most.
IMAGE_BYTES_MAX: Final = 1024 * GIB

DISK_FORMATS: Final = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
CONTAINER_FORMATS: Final = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
# Servers are made from the disk inside; an archive round it (any container but these) is not opened.
BOOTABLE_FORMATS: Final = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "ami", "iso")
PACKED_FORMATS: Final = ("qcow2", "vmdk", "vhd", "vhdx", "vdi")  # the disk is taken out when the file comes
BOOTABLE_CONTAINERS: Final = ("bare", "ami")
IMPORT_METHODS: Final = ("glance-direct", "web-download", "copy-image")


class Visibility(StrEnum):
    """Who sees an image."""

    PRIVATE = "private"
    SHARED = "shared"  # the owner, and the projects that it was shared with
    COMMUNITY = "community"  # everyone who asks for it
    PUBLIC = "public"  # everyone; only an administrator can make it so


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of an image, complete and never changing."""

    size_bytes: int  # of the file that was uploaded
    virtual_bytes: int  # of the disk inside it
    md5: str
    sha512: str
    file_id: VolumeId  # the volume that holds the file
    disk_id: VolumeId  # the volume that root disks are cloned from; for raw images the same
    # What it was checked against when it came, where that is not SHA-512: shown in its stead.
    algorithm: str = ""
    digest: str = ""


class Image(Record, frozen=True, kw_only=True, tag="image.1"):
    """One image. It is active when it has contents; while `upload_id` is set somebody is filling it."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id",)
    NOUN: ClassVar[str] = "image"

    project_id: ProjectId
    name: str | None = None
    visibility: Visibility = Visibility.SHARED
    protected: bool = False
    hidden: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    min_disk_gib: int = 0
    min_ram_mib: int = 0
    tags: tuple[str, ...] = ()
    properties: dict[str, str] = msgspec.field(default_factory=dict)
    deactivated: bool = False
    contents: Contents | None = None
    upload_id: str | None = None
    generation: int = 0  # grows with each change that a user makes
    created_at_ms: int
    updated_at_ms: int
    staging: bool = False  # what the upload receives waits for an import
    task_id: str | None = None  # the import that is under way
    import_failed: bool | None = None  # how the newest import ended; None: there was none

    @property
    def image_id(self) -> ImageId:
        """The id in its own kind."""
        return ImageId(self.id)


class Membership(Record, frozen=True, kw_only=True, tag="image_member.1"):
    """A project that a shared image was offered to."""

    INDEXED: ClassVar[tuple[str, ...]] = ("image_id", "project_id")
    NOUN: ClassVar[str] = "image member"

    image_id: ImageId
    project_id: ProjectId
    state: str = "pending"  # or "accepted" or "rejected": what that project said
    created_at_ms: int
    updated_at_ms: int


def membership_id(image_id: ImageId, project_id: ProjectId) -> str:
    """The id of the record that offers an image to a project."""
    return f"{image_id}.{project_id}"
