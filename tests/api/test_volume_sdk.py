"""Block storage through openstacksdk, unmodified: volumes, snapshots, backups, attachments, images, encrypted types."""

from functools import partial
from pathlib import Path
from typing import Any

import openstack
import trio

from tests.api.stores import Stores
from tests.api.test_snapshots import settle
from tests.twins.cloud import ADMIN_PASSWORD, api_certificate, serving


def connect(base: str, authority: Path) -> Any:
    return openstack.connect(
        auth_url=f"{base}/identity/v3",
        username="admin",
        password=ADMIN_PASSWORD,
        project_name="admin",
        user_domain_id="default",
        project_domain_id="default",
        cacert=str(authority),
        block_storage_default_microversion="3.70",
    ).block_storage


async def test_the_sdk_does_with_volumes_what_its_users_do(stores: Stores, tmp_path: Path) -> None:
    context, authority = api_certificate(tmp_path)
    async with serving(stores[0], context) as base:

        async def do(act: Any, *words: Any, **more: Any) -> Any:
            done = await trio.to_thread.run_sync(partial(act, *words, **more))
            await settle(stores)
            return done

        storage = await do(connect, base, authority)

        async def status(kind: str, id: str) -> str:
            return str((await do(getattr(storage, f"get_{kind}"), id)).status)

        volume = await do(storage.create_volume, name="data", size=1, metadata={"a": "b"})
        assert await status("volume", volume.id) == "available"
        await do(storage.extend_volume, volume, 2)
        assert (await do(storage.get_volume, volume.id)).size == 2
        snapshot = await do(storage.create_snapshot, volume_id=volume.id, name="then")
        assert await status("snapshot", snapshot.id) == "available"
        clone = await do(storage.create_volume, name="clone", size=3, snapshot_id=snapshot.id)
        assert await status("volume", clone.id) == "available"
        await do(storage.revert_volume_to_snapshot, volume, snapshot)
        backup = await do(storage.create_backup, volume_id=clone.id, name="monday")
        assert await status("backup", backup.id) == "available"
        restored = await do(storage.restore_backup, backup, name="again")
        assert await status("volume", restored.volume_id) == "available"
        server = "11111111-2222-4333-8444-555555555555"
        attachment = await do(
            storage.create_attachment, clone.id, instance=server, connector={"host": "h", "mode": "rw"}
        )
        await do(storage.complete_attachment, attachment)
        assert await status("volume", clone.id) == "in-use"
        await do(storage.delete_attachment, attachment)
        assert await status("volume", clone.id) == "available"
        image = await do(storage.upload_volume_to_image, clone, "golden", visibility="private")
        assert image["image_name"] == "golden"
        kind = await do(storage.create_type, name="safe")
        await do(storage.create_type_encryption, kind, provider="luks", control_location="front-end", key_size=256)
        safe = await do(storage.create_volume, name="safe", size=1, volume_type="safe")
        assert (await do(storage.get_volume, safe.id)).is_encrypted
        for each in (safe, clone):
            await do(storage.delete_volume, each)
        left = await do(lambda: [each.name for each in storage.volumes()])
        assert sorted(left) == ["again", "data"]
