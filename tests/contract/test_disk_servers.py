"""Every driver of the pool's disks keeps the same promises: the simulated one, and the one with real processes."""

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from noded.core.dice import new_hex_id, new_uuid
from noded.core.errors import Refused
from noded.core.ids import DiskId, VolumeId
from storage.host.detached import until_ended
from storage.host.disk_servers import HostDisks
from storage.host.lock import send_signal
from storage.host.paths import extent_lock
from storage.pools.links import DiskServers
from tests.twins.keys import Keys
from tests.twins.loopback import own_address
from tests.twins.storage import SimulatedDisks

ADDRESS = own_address(1)


def short_run() -> Path:
    """A run directory whose sockets' paths are short enough for the kernel."""
    return Path(tempfile.mkdtemp(prefix="storage-"))


async def end_all(run: Path) -> None:
    """End every extent server of a run directory."""
    for lock in (run / "extents").glob("*.lock"):
        send_signal(lock, signal.SIGTERM)
        await until_ended(lock, 10)


@pytest.fixture(params=["simulated", "real"])
async def disks(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DiskServers]:
    if request.param == "simulated":
        yield SimulatedDisks(1)
        return
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "lost+found").mkdir()
    Keys().admit(tmp_path / "tls")
    run = short_run()
    try:
        yield HostDisks(
            directories=[str(tmp_path / "one")], address=ADDRESS, tls=tmp_path / "tls", run=run, logs=tmp_path / "logs"
        )
    finally:
        with trio.CancelScope(shield=True):
            await end_all(run)
            shutil.rmtree(run)


async def test_an_empty_disk_becomes_what_it_is_told_to_be_and_stays_it(disks: DiskServers) -> None:
    [found] = await disks.find()
    assert (found.disk_id, found.fault) == (None, "")
    disk_id = DiskId(new_hex_id())
    served = await disks.serve(found.name, disk_id)
    assert served.size_bytes > served.used_bytes >= 0
    assert (await disks.find())[0].disk_id == disk_id
    assert await disks.serve(found.name, disk_id) == served or served.used_bytes > 0


async def test_removing_what_is_not_there_is_done_already(disks: DiskServers) -> None:
    [found] = await disks.find()
    disk_id = DiskId(new_hex_id())
    await disks.serve(found.name, disk_id)
    await disks.remove(disk_id, VolumeId(new_uuid()))
    assert list(await disks.volumes(disk_id)) == []


async def test_ended_servers_answer_no_more_and_start_again_on_the_same_disk(disks: DiskServers) -> None:
    [found] = await disks.find()
    disk_id = DiskId(new_hex_id())
    before = await disks.serve(found.name, disk_id)
    await disks.end_all()
    await disks.end_all()
    with pytest.raises(Refused):
        await disks.remove(disk_id, VolumeId(new_uuid()))
    assert (await disks.find())[0].disk_id == disk_id
    again = await disks.serve(found.name, disk_id)
    assert (again.host, again.port) == (before.host, before.port)
    await disks.remove(disk_id, VolumeId(new_uuid()))


async def test_a_disk_that_nobody_serves_does_not_answer(disks: DiskServers) -> None:
    with pytest.raises(Refused):
        await disks.remove(DiskId(new_hex_id()), VolumeId(new_uuid()))


def host(tmp_path: Path, run: Path, *directories: str, address: str = ADDRESS) -> HostDisks:
    paths = [str(tmp_path / name) for name in directories]
    return HostDisks(directories=paths, address=address, tls=tmp_path / "tls", run=run, logs=tmp_path / "logs")


async def test_what_holds_anything_or_is_missing_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not wipe")
    mine, missing = await host(tmp_path, tmp_path, "mine", "missing").find()
    assert "not empty (thesis.txt)" in mine.fault
    assert "No such file" in missing.fault


async def test_an_extent_server_is_found_again_and_follows_the_nodes_address(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    Keys().admit(tmp_path / "tls")
    run = short_run()
    ids = [DiskId(new_hex_id()), DiskId(new_hex_id())]
    try:
        before = [
            await host(tmp_path, run, "one", "two").serve(str(tmp_path / name), disk_id)
            for name, disk_id in zip(("one", "two"), ids, strict=True)
        ]
        assert len({served.port for served in before}) == 2
        again = await host(tmp_path, run, "one", "two").serve(str(tmp_path / "one"), ids[0])
        assert (again.host, again.port) == (before[0].host, before[0].port)
        moved = await host(tmp_path, run, "one", address=own_address(2)).serve(str(tmp_path / "one"), ids[0])
        assert moved.host == own_address(2)
        async with await trio.open_tcp_stream(moved.host, moved.port):
            pass
        assert not send_signal(extent_lock(run, DiskId("0" * 32)), signal.SIGTERM)
    finally:
        with trio.CancelScope(shield=True):
            await end_all(run)
            shutil.rmtree(run)
