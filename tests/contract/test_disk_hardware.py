"""A real block device on its way into the pool: looked at, formatted, mounted, and refused where it is in use."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from noded.core.errors import Invalid
from storage.devices import POOL_LABEL
from storage.host.hardware import HostHardware, mount_given
from storage.pools.links import Given

pytestmark = pytest.mark.root


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """A blank device of two gibibytes, of which hardly any are there."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(2 << 30)
    command = ["losetup", "--find", "--show", str(image)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield name
    finally:
        subprocess.run(["umount", "--all-targets", name], check=False, capture_output=True)
        subprocess.run(["losetup", "--detach", name], check=True)


async def test_a_blank_device_becomes_a_mounted_directory_and_is_in_use_from_then_on(
    device: str, tmp_path: Path
) -> None:
    hardware = HostHardware((), tmp_path / "mounts")
    found = await hardware.look_at(device)
    assert (found.fault, found.device, found.blank, found.size_bytes) == ("", True, True, 2 << 30)
    given = await hardware.prepare(device)
    assert Path(given.name).is_mount()
    assert [path.name for path in Path(given.name).iterdir()] == ["lost+found"]
    assert f"it is mounted at {given.name}" in (await hardware.look_at(device)).fault
    with pytest.raises(Invalid, match="is in use"):
        await hardware.prepare(device)
    told = await hardware.describe(given.name)
    assert told.device == device
    assert told.smart is None
    assert told.lacks
    shining = await hardware.locate(given.name, lit=True)
    assert shining.lit is None
    assert shining.lacks


async def test_after_a_boot_it_is_mounted_again_and_one_that_was_cut_off_is_taken_up(
    device: str, tmp_path: Path
) -> None:
    hardware = HostHardware((), tmp_path / "mounts")
    given = await hardware.prepare(device)
    subprocess.run(["umount", given.name], check=True)
    mount_given(given)
    mount_given(given)
    assert Path(given.name).is_mount()
    subprocess.run(["umount", given.name], check=True)
    # A node that died between making the file system and telling of it: nothing is made anew.
    assert not (await hardware.look_at(device)).blank
    assert await hardware.prepare(device) == given


async def test_what_holds_anything_is_refused(device: str, tmp_path: Path) -> None:
    hardware = HostHardware((str(tmp_path / "configured"),), tmp_path / "mounts")
    subprocess.run(["mkfs.ext4", "-q", "-L", "photos", device], check=True)
    assert "ext4 is on it" in (await hardware.look_at(device)).fault
    with pytest.raises(Invalid, match="ext4 is on it"):
        await hardware.prepare(device)
    assert POOL_LABEL != "photos"
    assert "on the system's own file system" in (await hardware.look_at("/usr")).fault
    assert "in the node's configuration already" in (await hardware.look_at(str(tmp_path / "configured"))).fault
    assert "no absolute path" in (await hardware.look_at("../dev/sda")).fault
    assert "can't be used" in (await hardware.look_at(str(tmp_path / "nowhere"))).fault
    place = tmp_path / "place"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=True)
    try:
        assert (await hardware.look_at(str(place))).fault == ""
        (place / "thesis.tex").touch()
        assert "is not empty (thesis.tex)" in (await hardware.look_at(str(place))).fault
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_directory_without_a_file_system_of_its_own_needs_no_mount(tmp_path: Path) -> None:
    mount_given(Given(name=str(tmp_path / "there")))
    assert not (tmp_path / "there").exists()
