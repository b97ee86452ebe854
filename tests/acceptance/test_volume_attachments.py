"""Volumes under real guests: plugged into one that runs, taken to one on another host, booted from, gone with it."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients import Tenant, until
from tests.lab.lab import Lab
from tests.lab.reach import ssh_command

pytestmark = pytest.mark.root

READY = "guest: ready"
BLOCKS = 256
SSH_S_MAX = 60
OPEN_WORDS = "these-words-anyone-may-read-on-a-disk"
SECRET_WORDS = "these-words-nobody-shall-read-on-a-disk"
PIECE_BYTES = 1 << 24


def on_host(tenant: Tenant, name: str, image: str, flavor: str, host: int) -> Any:
    """A server on that host: only an administrator may say where, so it is asked for until it falls there."""
    for _ in range(12):
        server = tenant.active(tenant.create(name, image, flavor))
        if tenant.host_of(server) is tenant.lab.host(host):
            return server
        tenant.cloud.compute.delete_server(server)
        tenant.cloud.compute.wait_for_delete(server)
    raise AssertionError(f"no server fell on host {host}")


def run(tenant: Tenant, server: Any, *command: str) -> subprocess.CompletedProcess[str]:
    words = ssh_command(tenant.lab, tenant.admin.connect(), tenant.key, server.id, command)
    return subprocess.run(words, text=True, capture_output=True, timeout=SSH_S_MAX, check=False)


def wait_in_guest(tenant: Tenant, server: Any, what: str, *command: str) -> None:
    until(lambda: run(tenant, server, *command).returncode == 0, what)


def status(tenant: Tenant, volume_id: str) -> str:
    return str(tenant.cloud.block_storage.get_volume(volume_id).status)


def attach(tenant: Tenant, server: Any, volume_id: str, disk: str = "/dev/vdb") -> None:
    tenant.cloud.compute.create_volume_attachment(server, volume_id=volume_id)
    until(lambda: status(tenant, volume_id) == "in-use", "the volume is in use")
    wait_in_guest(tenant, server, "the guest sees the disk", "test", "-b", disk)


def detach(tenant: Tenant, server: Any, volume_id: str, disk: str = "/dev/vdb") -> None:
    tenant.cloud.compute.delete_volume_attachment(server, volume_id)
    until(lambda: status(tenant, volume_id) == "available", "the guest let go of the disk")
    wait_in_guest(tenant, server, "the disk is gone from the guest", "test", "!", "-e", disk)


def encrypted_volume(tenant: Tenant) -> str:
    storage = tenant.admin.connect().block_storage
    kind = storage.create_type(name="safe", is_public=True)
    storage.create_type_encryption(
        kind, provider="luks", control_location="front-end", cipher="aes-xts-plain64", key_size=256
    )
    volume = tenant.cloud.block_storage.create_volume(size=1, name="safe", volume_type="safe")
    until(lambda: status(tenant, volume.id) == "available", "the encrypted volume is formatted")
    assert tenant.cloud.block_storage.get_volume(volume.id).is_encrypted
    return str(volume.id)


def say(tenant: Tenant, server: Any, disk: str, words: str) -> None:
    done = run(tenant, server, f"echo {words} | sudo dd of={disk} bs=4096 seek=2000 conv=fsync,notrunc")
    assert done.returncode == 0, done.stderr


def said(tenant: Tenant, server: Any, disk: str, length: int) -> str:
    """What is there, past what the guest remembers. Behind it an encrypted disk that is new has noise."""
    forget = "echo 3 | sudo tee /proc/sys/vm/drop_caches >&2"
    return run(tenant, server, f"{forget}; sudo dd if={disk} bs=4096 skip=2000 count=1 | head -c {length}").stdout


def is_on_disks(tenant: Tenant, words: bytes) -> bool:
    """Whether the words are anywhere on a host's disk of the pool, journals and leftovers included."""
    return any(holds(host.plan.disk_image, words) for host in tenant.lab.hosts)


def holds(image: Path, words: bytes) -> bool:
    found, offset, before = False, 0, b""
    with image.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        while not found and offset < end:
            try:
                start = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            except OSError:
                break  # nothing but a hole
            offset = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), start + PIECE_BYTES)
            piece = before + os.pread(file.fileno(), offset - start, start)
            found, before = words in piece, piece[-len(words) :]
    return found


def keep_secret(tenant: Tenant, first: Any, second: Any) -> None:
    """What a guest writes to an encrypted volume is on no disk, and another host's guest reads it."""
    safe = encrypted_volume(tenant)
    say(tenant, second, "/dev/vdb", OPEN_WORDS)
    attach(tenant, second, safe, "/dev/vdc")
    say(tenant, second, "/dev/vdc", SECRET_WORDS)
    assert said(tenant, second, "/dev/vdc", len(SECRET_WORDS)) == SECRET_WORDS
    detach(tenant, second, safe, "/dev/vdc")
    attach(tenant, first, safe)
    assert said(tenant, first, "/dev/vdb", len(SECRET_WORDS)) == SECRET_WORDS
    detach(tenant, first, safe)
    assert is_on_disks(tenant, OPEN_WORDS.encode()), "what is written to a plain volume is found like this"
    assert not is_on_disks(tenant, SECRET_WORDS.encode())
    print("what was written to an encrypted volume on host2 was read on host1, and is on no disk")
    tenant.cloud.block_storage.delete_volume(safe)


def grow(tenant: Tenant, server: Any, volume_id: str, gib: int) -> None:
    storage = tenant.cloud.block_storage
    storage.post(
        f"/volumes/{volume_id}/action", json={"os-extend": {"new_size": gib}}, microversion="3.42"
    ).raise_for_status()
    until(lambda: status(tenant, volume_id) == "in-use", "the guest was told that its disk has grown")
    seen = run(tenant, server, "cat", "/sys/class/block/vdb/size").stdout.strip()
    assert seen == str(gib << 21), f"the guest sees {seen} sectors"
    print(f"a running guest sees its disk grow to {gib} GiB")


def test_a_disk_is_plugged_into_a_running_guest_and_its_bytes_go_to_another_host(
    tenant: Tenant, image_id: str, small: str, cloud: Lab
) -> None:
    assert cloud is tenant.lab
    tenant.allow("tcp", 22)
    first, second = on_host(tenant, "first", image_id, small, 1), on_host(tenant, "second", image_id, small, 2)
    volume = tenant.cloud.block_storage.create_volume(size=1, name="data")
    for server in (first, second):
        tenant.says(server, READY)
    attach(tenant, first, volume.id)
    done = run(tenant, first, "sudo", "blocks", "write", "/dev/vdb", str(BLOCKS), "7")
    assert done.returncode == 0, done.stderr + done.stdout
    detach(tenant, first, volume.id)
    attach(tenant, second, volume.id)
    done = run(tenant, second, "sudo", "blocks", "verify", "/dev/vdb", str(BLOCKS), "7")
    assert done.returncode == 0, done.stderr + done.stdout
    print(f"{BLOCKS} blocks written on host1 were read on host2")
    grow(tenant, second, volume.id, 2)
    done = run(tenant, second, "sudo", "blocks", "verify", "/dev/vdb", str(BLOCKS), "7")
    assert done.returncode == 0, done.stderr + done.stdout
    keep_secret(tenant, first, second)
    tenant.cloud.compute.reboot_server(second, "HARD")
    until(lambda: tenant.console(second).count(READY) == 2, "the guest is up again")
    done = run(tenant, second, "sudo", "blocks", "verify", "/dev/vdb", str(BLOCKS), "7")
    assert done.returncode == 0, done.stderr + done.stdout
    tenant.cloud.compute.delete_server(second)
    until(lambda: status(tenant, volume.id) == "available", "the volume outlives its server")
    tenant.clear_servers()
    tenant.cloud.block_storage.delete_volume(volume.id)


def test_a_server_boots_from_a_volume_that_outlives_it_and_later_goes_with_the_next(
    tenant: Tenant, image_id: str, small: str
) -> None:
    compute, storage = tenant.cloud.compute, tenant.cloud.block_storage
    root = {"source_type": "image", "destination_type": "volume", "uuid": image_id, "boot_index": 0, "volume_size": 1}
    server = tenant.create("boots", "", small, block_device_mapping=[root])
    server = tenant.active(server)
    tenant.says(server, READY)
    [attachment] = list(compute.volume_attachments(server))
    volume_id = attachment.volume_id
    assert status(tenant, volume_id) == "in-use"
    compute.delete_server(server)
    until(lambda: status(tenant, volume_id) == "available", "the volume outlives its server")
    again = {"source_type": "volume", "destination_type": "volume", "uuid": volume_id, "boot_index": 0}
    server = tenant.create("again", "", small, block_device_mapping=[again | {"delete_on_termination": True}])
    server = tenant.active(server)
    tenant.says(server, READY)
    compute.delete_server(server)
    until(lambda: storage.find_volume(volume_id, ignore_missing=True) is None, "the volume goes with its server")
