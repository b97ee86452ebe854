"""Images and callers for tests, and image files made of as few bytes as their formats allow."""

import struct

from images.catalog.commands import CreateImage, ImageForm
from noded.core.ids import DomainId, ImageId, ProjectId, UserId
from noded.core.route import Caller

MINE, THEIRS = ProjectId("a" * 32), ProjectId("b" * 32)


def caller(project: ProjectId = MINE, *roles: str) -> Caller:
    return Caller(
        user_id=UserId("u"),
        user_name="user",
        user_domain_id=DomainId("default"),
        project_id=project,
        project_name="project",
        roles=frozenset(roles or ("member", "reader")),
    )


ADMIN = caller(ProjectId("c" * 32), "admin", "manager", "member", "reader")


def image_id(number: int) -> ImageId:
    return ImageId(f"00000000-0000-0000-0000-{number:012x}")


def create(number: int = 1, *, project_id: ProjectId = MINE, now_ms: int = 1_000_000, **form: object) -> CreateImage:
    return CreateImage(
        image_id=image_id(number),
        form=ImageForm(project_id=project_id, **{"disk_format": "raw", "container_format": "bare", **form}),
        now_ms=now_ms,
    )


def qcow2(
    *, size_bytes: int = 1 << 20, backing_offset: int = 0, features: int = 0, version: int = 3, padding: int = 4096
) -> bytes:
    """The header of a qcow2 file (docs/interop/qcow2.txt in QEMU's source), and nothing behind it."""
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb", version, backing_offset, 9 if backing_offset else 0, 16, size_bytes, 0, 1, 65536 * 3, 65536,
        1, 0, 0, features, 0, 0, 4, 104,
    )  # fmt: skip
    return header.ljust(padding, b"\0")
