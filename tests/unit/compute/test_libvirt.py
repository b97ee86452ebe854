"""What is made of libvirt's answers where no real machine gives them on demand; the rest is in `tests/contract`."""

from pathlib import Path
from typing import Any

import libvirt
import pytest

from compute.host.domain import MARK
from compute.host.libvirt import LibvirtHypervisor
from noded.core.ids import ServerId

IDS = ("00000001-0000-4000-8000-000000000000", "00000002-0000-4000-8000-000000000000")


class Gone(libvirt.libvirtError):  # type: ignore[misc]  # libvirt ships no types
    def __init__(self) -> None:
        Exception.__init__(self, "Domain not found")

    def get_error_code(self) -> int:
        return int(libvirt.VIR_ERR_NO_DOMAIN)


class Domain:
    """A running guest of ours, which may be undefined between two questions."""

    def __init__(self, id: str, *, gone: bool) -> None:
        self._id = id
        self._gone = gone

    def metadata(self, *_: Any) -> str:
        return f'<guest xmlns="{MARK}" run="3"/>'

    def UUIDString(self) -> str:  # libvirt's name
        return self._id

    def state(self) -> list[int]:
        if self._gone:
            raise Gone
        return [libvirt.VIR_DOMAIN_RUNNING, 0]


class Ending(Domain):
    """A guest that ends by itself just before its power is taken away."""

    def __init__(self) -> None:
        super().__init__(IDS[0], gone=False)
        self.active = [True, False]
        self.undefined = False

    def isActive(self) -> bool:  # libvirt's name
        return self.active.pop(0)

    def destroy(self) -> None:
        raise Gone

    def undefineFlags(self, _: int) -> None:  # libvirt's name
        self.undefined = True


class Connection:
    def listAllDomains(self) -> list[Domain]:  # libvirt's name
        return [Domain(IDS[0], gone=True), Domain(IDS[1], gone=False)]


async def test_a_guest_that_is_removed_while_guests_are_listed_is_not_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hypervisor = LibvirtHypervisor(
        uri="test:///", name="n", address="10.0.0.1", console_dir=tmp_path, socket_dir=tmp_path, kvm=False
    )
    monkeypatch.setattr(hypervisor, "_connected", Connection)
    assert set(await hypervisor.guests()) == {IDS[1]}


async def test_a_guest_that_ends_by_itself_while_it_is_removed_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hypervisor = LibvirtHypervisor(
        uri="test:///", name="n", address="10.0.0.1", console_dir=tmp_path, socket_dir=tmp_path, kvm=False
    )
    ending = Ending()

    class Alone:
        def lookupByUUIDString(self, _: str) -> Ending:  # libvirt's name
            return ending

        def isAlive(self) -> bool:  # libvirt's name
            return True

    monkeypatch.setattr(hypervisor, "_connected", Alone)
    await hypervisor.remove(ServerId(IDS[0]))
    assert ending.undefined
