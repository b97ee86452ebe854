"""How guests are written down, how their consoles are kept, and how KVM is proven."""

from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from compute.host.consoles import LOG_BYTES_KEPT, LOG_BYTES_MAX, Consoles
from compute.host.domain import MARK, definition, run_of
from compute.host.kvm import guest_runs
from compute.host.machine import cpu_count, cpu_model, memory_for_guests_mib
from compute.hypervisor import GuestCard, GuestDisk, GuestSpec
from noded.core.ids import PortId, ServerId, VolumeId

SPEC = GuestSpec(
    server_id=ServerId("11111111-2222-4333-8444-555555555555"),
    name='<web> & "co"',
    run=7,
    vcpus=2,
    memory_mib=128,
    cards=(GuestCard(port_id=PortId("p"), mac="fa:16:3e:00:00:01", mtu=1450, tap="nd1"),),
    disks=(
        GuestDisk(volume_id=VolumeId("v1"), socket="/run/v1"),
        GuestDisk(volume_id=VolumeId("v2"), socket="/run/v2", limits=(("total_iops_sec", 500),)),
    ),
)


def _defined(*, kvm: bool) -> Xml.Element:
    return Xml.fromstring(definition(SPEC, kvm=kvm, console_log=Path("/log"), console_socket=Path("/sock")))


def test_a_definition_says_everything_of_the_guest() -> None:
    domain = _defined(kvm=False)
    assert domain.get("type") == "qemu"
    assert domain.findtext("title") == SPEC.name
    assert domain.findtext("uuid") == SPEC.server_id
    mark = domain.find(f"metadata/{{{MARK}}}guest")
    assert mark is not None
    assert run_of(Xml.tostring(mark, encoding="unicode")) == 7
    assert [disk.get("dev") for disk in domain.findall("devices/disk/target")] == ["vda", "vdb"]
    assert [host.get("socket") for host in domain.findall("devices/disk/source/host")] == ["/run/v1", "/run/v2"]
    assert [disk.findtext("iotune/total_iops_sec") for disk in domain.findall("devices/disk")] == [None, "500"]
    target = domain.find("devices/interface/target")
    assert target is not None
    assert target.attrib == {"dev": "nd1", "managed": "no"}


def test_only_kvm_gets_the_real_processor() -> None:
    for kvm, mode in ((True, "host-passthrough"), (False, "maximum")):
        cpu = _defined(kvm=kvm).find("cpu")
        assert cpu is not None
        assert cpu.get("mode") == mode
        assert (_defined(kvm=kvm).find("features/tcg") is None) is kvm


def test_console_logs_are_cut_and_nothing_recent_is_lost(tmp_path: Path) -> None:
    consoles = Consoles(tmp_path / "consoles")
    consoles.prepare()
    log = consoles.path(SPEC.server_id)
    log.write_bytes(b"old" + b"x" * LOG_BYTES_MAX + b"newest")
    consoles.trim()
    assert log.stat().st_size == 0
    assert consoles.tail(SPEC.server_id, 6) == b"newest"
    with log.open("ab") as file:
        file.write(b" and more")
    assert consoles.tail(SPEC.server_id, 15) == b"newest and more"
    assert len(consoles.tail(SPEC.server_id, 1 << 30)) == LOG_BYTES_KEPT + 9
    consoles.remove(SPEC.server_id)
    assert list((tmp_path / "consoles").iterdir()) == []
    consoles.remove(SPEC.server_id)


async def test_an_accelerator_is_proven_by_a_guest_that_runs() -> None:
    assert await guest_runs("tcg", timeout_s=60)


async def test_an_accelerator_that_hangs_is_not_waited_for(autojump_clock: object) -> None:
    assert not await guest_runs("tcg", timeout_s=0)


def test_the_machine_is_measured() -> None:
    assert cpu_count() >= 1
    assert memory_for_guests_mib() >= 0
    assert cpu_model()


@pytest.mark.parametrize("kvm", [True, False])
def test_a_definition_is_the_same_each_time(kvm: bool) -> None:
    assert Xml.tostring(_defined(kvm=kvm)) == Xml.tostring(_defined(kvm=kvm))
