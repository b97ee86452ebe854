"""How images come, change and go, who may see them, and what a server may be made from."""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from msgspec.structs import asdict, replace

from images.catalog.model import (
    BOOTABLE_CONTAINERS,
    BOOTABLE_FORMATS,
    PACKED_FORMATS,
    Contents,
    Image,
    Membership,
    Visibility,
    membership_id,
)
from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from noded.core.ids import ImageId, ProjectId, VolumeId
from noded.core.route import Caller
from noded.core.store import Transaction, View
from storage.volumes.commands import delete_volume
from storage.volumes.model import Layout, Volume

CHANGED: Final = "ImageChanged"  # the code of the refusal: look at the image again, and propose again
IMAGES_OF_A_PROJECT_MAX = 10_000
MEMBERS_MAX = 128
MEMBER_CHARS_MAX = 255
MEMBER_STATES = ("pending", "accepted", "rejected")


class ImageForm(msgspec.Struct, frozen=True, kw_only=True):
    """What users may write on an image, all of it."""

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
    project_id: ProjectId

    @classmethod
    def of(cls, image: Image) -> "ImageForm":
        """What is written on `image` now."""
        return cls(**{field: getattr(image, field) for field in cls.__struct_fields__})


class CreateImage(Command, frozen=True, kw_only=True, tag="image.create.1"):
    """A new image without contents."""

    TOLD: ClassVar[str] = "created the image {form[name]}"

    image_id: ImageId
    form: ImageForm
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        create_image(tx, self.image_id, self.form, self.now_ms)


class ChangeImage(Command, frozen=True, kw_only=True, tag="image.change.1"):
    """New words on an image. Refused if somebody else changed them since they were read."""

    TOLD: ClassVar[str] = "changed the image {image_id}"

    image_id: ImageId
    generation: int
    form: ImageForm
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        image = tx.need(Image, self.image_id)
        if image.generation != self.generation:
            raise Conflict(f"Image {image.id} was changed by somebody else at the same time. Try again.", code=CHANGED)
        formats = (image.disk_format, image.container_format)
        settled = image.contents is not None or image.upload_id is not None or image.task_id is not None
        if settled and (self.form.disk_format, self.form.container_format) != formats:
            raise Forbidden("The formats of an image can't be changed once it has contents.")
        tx.put(replace(image, generation=image.generation + 1, updated_at_ms=self.now_ms, **asdict(self.form)))


class DeactivateImage(Command, frozen=True, kw_only=True, tag="image.deactivate.1"):
    """Stop (or resume) handing out an image's contents."""

    TOLD: ClassVar[str] = "set deactivation of image {image_id} to {deactivated}"

    image_id: ImageId
    deactivated: bool
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        image = tx.need(Image, self.image_id)
        if image.contents is None:
            raise Conflict(f"Image {image.id} is not active: it has no contents yet.", code="NotActive")
        tx.put(replace(image, deactivated=self.deactivated, updated_at_ms=self.now_ms))


class DeleteImage(Command, frozen=True, kw_only=True, tag="image.delete.1"):
    """The image goes at once. Its volumes stay as long as servers are cloned from them, and then go too."""

    TOLD: ClassVar[str] = "deleted the image {image_id}"

    FREES_ROOM: ClassVar[bool] = True

    image_id: ImageId

    def apply(self, tx: Transaction) -> None:
        image = tx.need(Image, self.image_id)
        if image.protected:
            raise Forbidden(f"Image {image.id} is protected and can't be deleted. Remove its protection first.")
        discard_image(tx, image.image_id)


class AddMember(Command, frozen=True, kw_only=True, tag="image.member.add.1"):
    """Offer a shared image to a project."""

    TOLD: ClassVar[str] = "shared the image {image_id} with project {project_id}"

    image_id: ImageId
    project_id: ProjectId
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        image = tx.need(Image, self.image_id)
        id = membership_id(self.image_id, self.project_id)
        if image.visibility is not Visibility.SHARED:
            raise Forbidden("Only shared images have members.")
        if not 0 < len(self.project_id) <= MEMBER_CHARS_MAX:
            raise Invalid("A member is the id of a project.")
        if tx.get(Membership, id) is not None:
            raise Conflict(f"Image {self.image_id} was offered to project {self.project_id} already.")
        if len(tx.find(Membership, "image_id", self.image_id)) >= MEMBERS_MAX:
            raise TooLarge(f"An image has at most {MEMBERS_MAX} members.")
        tx.put(
            Membership(
                id=id,
                image_id=self.image_id,
                project_id=self.project_id,
                created_at_ms=self.now_ms,
                updated_at_ms=self.now_ms,
            )
        )


class AnswerShare(Command, frozen=True, kw_only=True, tag="image.member.answer.1"):
    """A project says whether it wants to see an image that was offered to it."""

    TOLD: ClassVar[str] = "answered the sharing of image {image_id} with {state}"

    image_id: ImageId
    project_id: ProjectId
    state: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        member = tx.need(Membership, membership_id(self.image_id, self.project_id))
        if self.state not in MEMBER_STATES:
            raise Invalid(f"status is one of {', '.join(MEMBER_STATES)}, not {self.state[:64]}.")
        tx.put(replace(member, state=self.state, updated_at_ms=self.now_ms))


class RemoveMember(Command, frozen=True, kw_only=True, tag="image.member.remove.1"):
    """The project sees the image no longer."""

    TOLD: ClassVar[str] = "stopped sharing the image {image_id} with project {project_id}"

    FREES_ROOM: ClassVar[bool] = True

    image_id: ImageId
    project_id: ProjectId

    def apply(self, tx: Transaction) -> None:
        tx.need(Membership, membership_id(self.image_id, self.project_id))
        tx.delete(Membership, membership_id(self.image_id, self.project_id))


def create_image(tx: Transaction, image_id: ImageId, form: ImageForm, now_ms: int) -> None:
    """A new image without contents. Raises `Refused` where it exists already, or its project has too many."""
    if tx.get(Image, image_id) is not None:
        raise Conflict(f"Image {image_id} exists already; choose another id or leave it out.")
    if len(tx.find(Image, "project_id", form.project_id)) >= IMAGES_OF_A_PROJECT_MAX:
        raise TooLarge(f"The project has {IMAGES_OF_A_PROJECT_MAX} images, which is the limit. Delete some first.")
    tx.put(Image(id=image_id, created_at_ms=now_ms, updated_at_ms=now_ms, **asdict(form)))


def discard_image(tx: Transaction, image_id: ImageId) -> None:
    """The image goes, and with it whom it was offered to, and its volumes as soon as nothing was made of them."""
    image = tx.need(Image, image_id)
    if image.contents is not None:
        for volume_id in dict.fromkeys((image.contents.file_id, image.contents.disk_id)):
            delete_volume(tx, volume_id)
    for member in tx.find(Membership, "image_id", image.id):
        tx.delete(Membership, member.id)
    tx.delete(Image, image.id)


def begin_import(tx: Transaction, image_id: ImageId, task_id: str) -> None:
    """A task fills the image from now on, or puts what it has in further stores. Raises `Conflict` for a second one."""
    image = tx.need(Image, image_id)
    if image.task_id is not None:
        raise Conflict(f"Image {image_id} is being imported already, by task {image.task_id}.")
    if not image.disk_format or not image.container_format:
        unset = "disk_format" if image.container_format else "container_format"
        raise Conflict(f"'{unset}' needs to be set before import")
    tx.put(replace(image, task_id=task_id, import_failed=False))


def end_import(tx: Transaction, image_id: ImageId, task_id: str, *, failed: bool) -> None:
    """The task has ended; the image, if it still exists, is free again."""
    image = tx.get(Image, image_id)
    if image is not None and image.task_id == task_id:
        tx.put(replace(image, task_id=None, import_failed=failed))


def begin_upload(
    tx: Transaction, image_id: ImageId, upload_id: str, *, staging: bool, task_id: str | None = None
) -> Image:
    """Somebody (the task, if it is one) starts to fill the image, or to stage what will.

    Raises `Conflict` unless it is still empty.
    """
    image = tx.need(Image, image_id)
    if image.contents is not None or image.upload_id is not None:
        reason = "has its contents already" if image.contents else "is being uploaded already"
        raise Conflict(f"Image {image_id} {reason}.")
    if image.task_id != task_id:
        raise Conflict(
            f"Image {image_id} {'is being imported' if image.task_id else 'is not being imported any more'}."
        )
    if not image.disk_format or not image.container_format:
        raise Invalid(f"Set disk_format and container_format of image {image_id} before its data is uploaded.")
    image = replace(image, upload_id=upload_id, staging=staging)
    tx.put(image)
    return image


def fill_image(tx: Transaction, image_id: ImageId, upload_id: str, contents: Contents, now_ms: int) -> None:
    """The upload has ended well: the image is active from now on."""
    image = tx.need(Image, image_id)
    if image.upload_id != upload_id:
        raise Conflict(f"The upload of image {image_id} was ended.")
    tx.put(replace(image, contents=contents, upload_id=None, staging=False, updated_at_ms=now_ms))


def forget_upload(tx: Transaction, image_id: ImageId, upload_id: str) -> None:
    """The upload has ended badly: the image, if it still exists, is as empty as before."""
    image = tx.get(Image, image_id)
    if image is not None and image.upload_id == upload_id:
        tx.put(replace(image, upload_id=None, staging=False))


def visible(view: View, caller: Caller, image: Image | None, id: str) -> Image:
    """`image` if the caller may see it; otherwise the same `NotFound` as for nothing."""
    if image is None or not _sees(view, caller, image):
        raise NotFound.of("image", id)
    return image


def _sees(view: View, caller: Caller, image: Image) -> bool:
    if caller.is_admin or image.project_id == caller.project_id:
        return True
    if image.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY):
        return True
    if image.visibility is not Visibility.SHARED or caller.project_id is None:
        return False
    return view.get(Membership, membership_id(image.image_id, caller.project_id)) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BootSource:
    """What a root disk is cloned from, and what the image asks of the server."""

    image_id: ImageId
    image_name: str
    volume_id: VolumeId  # the immutable volume to clone (`storage.volumes.commands.clone_volume`)
    size_bytes: int  # of that volume: a root disk is at least as large
    extent_bytes: int
    layout: Layout  # the clone has it too, as far as it goes
    min_disk_gib: int
    min_ram_mib: int
    properties: dict[str, str]


def boot_source(view: View, caller: Caller, image_id: str, *, encrypted: bool = False) -> BootSource:
    """What a server of the caller can be made from; with `encrypted`, what a volume can.

    Raises `Refused` with the reason if the image can't be used.
    """
    image = view.get(Image, image_id)
    if image is None or not _sees(view, caller, image):
        raise Invalid(f"No image with id {image_id[:255]} was found.", code="ImageNotFound")
    if image.contents is None or image.deactivated:
        reason = "is deactivated" if image.contents else "has no contents yet"
        raise Invalid(f"Image {image.id} is not active: it {reason}.", code="ImageNotActive")
    in_archive = image.container_format not in BOOTABLE_CONTAINERS
    # An image of before disks were taken out of these formats has none but its own file.
    is_packed = image.disk_format in PACKED_FORMATS and image.contents.disk_id == image.contents.file_id
    if image.disk_format not in BOOTABLE_FORMATS or in_archive or is_packed:
        raise Invalid(
            f"Image {image.id} has the format {image.disk_format} in {image.container_format}, which servers can't "
            f"be made from; convert it to qcow2 or raw and upload it again, in bare.",
            code="ImageUnacceptable",
        )
    volume = view.need(Volume, image.contents.disk_id)
    if volume.encryption is not None and not encrypted:
        raise Invalid(
            f"Image {image.id} was made of an encrypted volume: make a volume of it, of an encrypted type, and boot"
            " from that.",
            code="ImageUnacceptable",
        )
    return BootSource(
        image_id=image.image_id,
        image_name=image.name or "",
        volume_id=volume.volume_id,
        size_bytes=volume.size_bytes,
        extent_bytes=volume.extent_bytes,
        layout=volume.layout,
        min_disk_gib=image.min_disk_gib,
        min_ram_mib=image.min_ram_mib,
        properties=dict(image.properties),
    )
