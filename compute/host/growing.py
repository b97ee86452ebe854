"""How does a running guest come to see that a disk has grown? Two things must know: QEMU's connection, and its device.

An NBD client learns an export's size when it connects, so the volume server has ended the old connection by now. QEMU
connects anew only when it has something to ask, and an idle guest never has; so it is told to read one sector by its
monitor, on the disk's own device. Where that finds the dead connection it fails, and the next one connects. Neither
reaches the guest. A guest that asked something itself in between is paused by its error policy, and goes on here.
"""

from typing import Any, Final
from xml.etree import ElementTree as Xml

import libvirt
import libvirt_qemu  # type: ignore[import-untyped]

from compute.hypervisor import GuestFault
from noded.core.ids import VolumeId

READS: Final = 4  # QEMU 7.2 takes the third
_READ_ONE: Final = 'qemu-io -d /machine/peripheral/{alias}/virtio-backend "read 0 512"'
_HMP: Final = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP


def grow(guest: Any, text: str, volume_id: VolumeId, size_bytes: int) -> None:
    """Let the guest see the new size; `text` is the definition of its disk. Raises `GuestFault`, or libvirt's error."""
    disk = Xml.fromstring(text)  # noqa: S314  # libvirtd's own words
    alias, target = disk.find("alias"), disk.find("target")
    if alias is None or target is None:
        raise GuestFault(f"libvirt does not say which device volume {volume_id} is")
    command = _READ_ONE.format(alias=alias.get("name"))
    for _ in range(READS):
        # Whether it went well it says in QEMU's own log; if it did not, the resizing fails and says so.
        libvirt_qemu.qemuMonitorCommand(guest, command, _HMP)
    if guest.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR]:
        guest.resume()
    guest.blockResize(target.get("dev"), size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
