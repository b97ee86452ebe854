"""How a guest is written down for libvirt, and how one of ours is recognised. Text only; nothing is asked or done.

libvirt's word for a guest's definition is domain (https://libvirt.org/formatdomain.html). Ours carries a mark with the
server's id and the number of the run, so that a restarted daemon knows at once what it finds.
"""

from pathlib import Path
from xml.etree import ElementTree as Xml

from compute.hypervisor import GuestCard, GuestDisk, GuestSpec
from noded.core.ids import VolumeId

MARK = "https://noded.dev/guest/1"
RECONNECT_S = 60  # how long QEMU waits for a volume server before it pauses the guest, where libvirt can say so
TCG_CACHE_MIB = 32  # the default takes a gigabyte of a large host for each guest

Xml.register_namespace("noded", MARK)


def definition(spec: GuestSpec, *, kvm: bool, console_log: Path, console_socket: Path) -> str:
    """The whole definition as XML."""
    domain = Xml.Element("domain", type="kvm" if kvm else "qemu")
    _put(domain, "name", f"noded-{spec.server_id}")
    _put(domain, "uuid", spec.server_id)
    _put(domain, "title", spec.name)
    Xml.SubElement(_put(domain, "metadata"), f"{{{MARK}}}guest", run=str(spec.run))
    _put(domain, "memory", str(spec.memory_mib), unit="MiB")
    _put(domain, "vcpu", str(spec.vcpus))
    system = _put(domain, "os")
    _put(system, "type", "hvm", arch="x86_64", machine="pc")
    _put(system, "boot", dev="hd")
    _processor(domain, kvm=kvm)
    for event, reaction in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _put(domain, f"on_{event}", reaction)
    _devices(_put(domain, "devices"), spec, console_log, console_socket)
    return Xml.tostring(domain, encoding="unicode")


def run_of(mark: str) -> int:
    """The number of the run from the mark that libvirt gave back."""
    return int(Xml.fromstring(mark).get("run", "0"))  # noqa: S314  # libvirtd's own words


def _put(parent: Xml.Element, tag: str, text: str | None = None, /, **attributes: str) -> Xml.Element:
    element = Xml.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _processor(domain: Xml.Element, *, kvm: bool) -> None:
    features = _put(domain, "features")
    _put(features, "acpi")
    _put(features, "apic")
    if kvm:
        _put(domain, "cpu", mode="host-passthrough", check="none")  # what the probe proved, and nothing less
    else:
        _put(_put(features, "tcg"), "tb-cache", str(TCG_CACHE_MIB), unit="MiB")
        # All that TCG can do: newer guests want more than its default, and rdrand spares them a wait for entropy.
        _put(domain, "cpu", mode="maximum")
    clock = _put(domain, "clock", offset="utc")
    _put(clock, "timer", name="rtc", tickpolicy="catchup")
    _put(clock, "timer", name="pit", tickpolicy="delay")
    _put(clock, "timer", name="hpet", present="no")


def _devices(devices: Xml.Element, spec: GuestSpec, console_log: Path, console_socket: Path) -> None:
    _put(devices, "emulator", "/usr/bin/qemu-system-x86_64")
    _put(devices, "controller", type="usb", model="none")
    for number, disk in enumerate(spec.disks):
        _disk(devices, disk, number)
    for card in spec.cards:
        _card(devices, card)
    # A socket for whoever wants to type; the log is written whether somebody listens or not.
    serial = _put(devices, "serial", type="unix")
    _put(serial, "source", mode="bind", path=str(console_socket))
    _put(serial, "log", file=str(console_log), append="on")
    _put(serial, "target", port="0")
    generator = _put(devices, "rng", model="virtio")
    _put(generator, "backend", "/dev/urandom", model="random")
    _put(devices, "memballoon", model="virtio")


def disk_definition(disk: GuestDisk) -> str:
    """One disk as XML, for a guest that runs."""
    devices = Xml.Element("devices")
    _disk(devices, disk, 0)
    return Xml.tostring(devices[0], encoding="unicode")


def secret_definition(key_id: str) -> str:
    """A secret as XML: in libvirt's memory alone, and given back to nobody."""
    secret = Xml.Element("secret", ephemeral="yes", private="yes")
    _put(secret, "uuid", key_id)
    _put(_put(secret, "usage", type="volume"), "volume", f"noded-{key_id}")
    return Xml.tostring(secret, encoding="unicode")


def disks_in(text: str) -> dict[VolumeId, str]:
    """The volumes in a guest's definition, each with the XML of its disk: what it is unplugged by."""
    found = {}
    for element in Xml.fromstring(text).findall("devices/disk"):  # noqa: S314  # libvirtd's own words
        source = element.find("source")
        if source is not None and source.get("protocol") == "nbd":
            found[VolumeId(source.get("name", ""))] = Xml.tostring(element, encoding="unicode")
    return found


def _disk(devices: Xml.Element, disk: GuestDisk, number: int) -> None:
    element = _put(devices, "disk", type="network", device="disk")
    # A failed write or read stops the guest instead of telling it: it goes on, unharmed, when the volume is back.
    _put(
        element,
        "driver",
        name="qemu",
        type="raw",
        cache="none",
        error_policy="stop",
        rerror_policy="stop",
        discard="unmap",
    )
    source = _put(element, "source", protocol="nbd", name=disk.volume_id)
    _put(source, "host", transport="unix", socket=disk.socket)
    _put(source, "reconnect", delay=str(RECONNECT_S))
    if disk.key_id:
        _put(_put(source, "encryption", format="luks"), "secret", type="passphrase", uuid=disk.key_id)
    _put(element, "target", dev=disk.device or f"vd{chr(ord('a') + number)}", bus="virtio")
    _put(element, "serial", disk.volume_id[:20])
    if disk.read_only:
        _put(element, "readonly")
    if disk.limits:
        throttle = _put(element, "iotune")
        for word, limit in disk.limits:
            _put(throttle, word).text = str(limit)


def _card(devices: Xml.Element, card: GuestCard) -> None:
    element = _put(devices, "interface", type="ethernet")
    _put(element, "mac", address=card.mac)
    _put(element, "target", dev=card.tap, managed="no")
    _put(element, "model", type="virtio")
    _put(element, "mtu", size=str(card.mtu))
    _put(element, "rom", enabled="no")  # nothing boots from the network
