"""How does a running guest come to see that a disk has grown? Two things must know: QEMU's connection, and its device.

An NBD client learns an export's size when it connects, so the volume server has ended the old connection by now. QEMU
connects anew only when it has something to ask, and an idle guest never has; so it is told to read one sector by its
monitor, on the disk's own device. Where that finds the dead connection it fails, and a new one is made meanwhile; so it
is told again. None of it reaches the guest. A guest that asked something itself in between is paused by its error
policy, and goes on here.
"""

import time
from typing import Any, Final
from xml.etree import ElementTree as Xml

import libvirt
import libvirt_qemu  # type: ignore[import-untyped]

from compute.hypervisor import GuestFault
from noded.core.ids import VolumeId

RECONNECT_S_MAX: Final = 4.0  # QEMU connects in a thread of its own, which takes as long as it takes
AGAIN_S: Final = 0.02
_READ_ONE: Final = 'qemu-io -d /machine/peripheral/{alias}/virtio-backend "read 0 512"'
_OLD_SIZE: Final = "Cannot grow NBD nodes"  # it has no new connection yet; there is no code for it
_HMP: Final = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP


def grow(guest: Any, text: str, volume_id: VolumeId, size_bytes: int) -> None:
    """Let the guest see the new size; `text` is the definition of its disk. Raises `GuestFault`, or libvirt's error."""
    disk = Xml.fromstring(text)  # noqa: S314  # libvirtd's own words
    alias, target = disk.find("alias"), disk.find("target")
    if alias is None or target is None:
        raise GuestFault(f"libvirt does not say which device volume {volume_id} is")
    command = _READ_ONE.format(alias=alias.get("name"))
    _resize(guest, command, target.get("dev"), size_bytes)
    if guest.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR]:
        guest.resume()


def _resize(guest: Any, command: str, target: str | None, size_bytes: int) -> None:
    give_up_at = time.monotonic() + RECONNECT_S_MAX
    while True:
        # Whether it went well it says in QEMU's own log alone.
        libvirt_qemu.qemuMonitorCommand(guest, command, _HMP)
        try:
            guest.blockResize(target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        except libvirt.libvirtError as fault:
            if _OLD_SIZE not in str(fault.get_error_message()) or time.monotonic() > give_up_at:
                raise
            time.sleep(AGAIN_S)
        else:
            return
