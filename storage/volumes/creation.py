"""How a volume comes to be that is a clone of nothing: empty, or, where it is encrypted, filled from an image."""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from consensus.vault.commands import put_secret
from consensus.vault.model import NewSecret
from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import ProjectId, VolumeId
from noded.core.store import Transaction
from storage.messages.commands import tell
from storage.types.commands import need_type
from storage.types.model import unmet
from storage.volumes.commands import PLACES_CHANGED, charge_volume, create_volume, enter_group
from storage.volumes.model import Encryption, Layout, Purpose, Source, Volume


class CreateVolume(Command, frozen=True, kw_only=True, tag="volume.create.1"):
    """A new, empty volume whose places were chosen by the handler."""

    TOLD: ClassVar[str] = "created the volume {name}"

    volume_id: VolumeId
    project_id: ProjectId
    user_id: str = ""
    name: str
    description: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    size_bytes: int
    extent_bytes: int
    layout: Layout
    now_ms: int
    type_id: str = ""
    multiattach: bool = False
    message_id: str = ""  # of the message to leave where no pool can do what the type asks for
    request_id: str = ""
    group_id: str | None = None
    encryption: Encryption | None = None  # as its type asks
    secret: NewSecret | None = None  # the key of that
    image_id: str = ""  # of the image whose disk is to be written to it
    image_metadata: dict[str, str] = msgspec.field(default_factory=dict)  # what is known of that image

    def apply(self, tx: Transaction) -> None:
        kind = need_type(tx, self.type_id)
        if (kind.encryption is None) != (self.encryption is None):
            raise Conflict(f"Volume type {kind.name} was changed at the same time. Try again.", code=PLACES_CHANGED)
        if self.multiattach and not kind.multiattach:
            raise Invalid(f"Volume type {kind.name} does not allow multiattach; its extra specs don't say so.")
        volume = create_volume(
            tx,
            volume_id=self.volume_id,
            project_id=self.project_id,
            user_id=self.user_id,
            name=self.name,
            description=self.description,
            metadata=self.metadata,
            size_bytes=self.size_bytes,
            extent_bytes=self.extent_bytes,
            layout=self.layout,
            purpose=Purpose.DATA,
            now_ms=self.now_ms,
            type_id=self.type_id,
            replicas=kind.replicas,
            multiattach=self.multiattach or kind.multiattach,
            encryption=self.encryption,
        )
        if self.secret is not None:
            put_secret(tx, self.secret, purpose=f"volume {volume.id}", now_ms=self.now_ms)
        if self.image_id:
            source = Source(image_id=self.image_id)
            volume = replace(volume, made_from=source, bootable=True, image_metadata=self.image_metadata)
            tx.put(volume)
        charge_volume(tx, volume)
        if self.group_id is not None:
            volume = enter_group(tx, volume, self.group_id)
        lacking = unmet(kind)
        if lacking is not None:
            self._fail(tx, volume, f"No pool has {lacking}, which volume type {kind.name} asks for")

    def _fail(self, tx: Transaction, volume: Volume, reason: str) -> None:
        """Cinder accepts such a volume and tells later, in the volume's status and in a message."""
        tx.put(replace(volume, phase="error"))
        tell(
            tx,
            message_id=self.message_id,
            project_id=self.project_id,
            request_id=self.request_id,
            resource=("VOLUME", volume.id),
            event="001_003",
            text=f"schedule allocate volume:Could not find any available weighted backend. {reason}.",
            now_ms=self.now_ms,
        )
