"""Disks, nodes and volumes for tests: a pool of three nodes with one disk each, unless told otherwise."""

from consensus.store import Change, Picture
from noded.core.command import Command
from noded.core.errors import Refused
from noded.core.ids import DiskId, NodeId, ProjectId, Revision, VolumeId
from noded.core.units import GIB
from storage.extents.layout import extent_count
from storage.pools.commands import RegisterDisk
from storage.volumes.commands import choose_layout
from storage.volumes.creation import CreateVolume
from storage.volumes.model import Volume, extent_bytes_for

PROJECT = ProjectId("a" * 32)


def node(number: int) -> NodeId:
    return NodeId(f"{number:032x}")


def disk_id(number: int, index: int = 0) -> DiskId:
    return DiskId(f"{number:030x}{index:02x}")


def register(number: int, index: int = 0, *, size_bytes: int = 100 * GIB, used_bytes: int = 0) -> RegisterDisk:
    return RegisterDisk(
        disk_id=disk_id(number, index),
        node_id=node(number),
        name=f"disk{index}",
        size_bytes=size_bytes,
        used_bytes=used_bytes,
        host=f"10.77.0.{number}",
        port=7410 + index,
        now_ms=1000,
    )


class Bench:
    """A store to try commands on. A refused command changes nothing."""

    def __init__(self, *commands: Command) -> None:
        self.view = Picture.empty()
        self.apply(*commands)

    def apply(self, *commands: Command) -> None:
        change = self.begin()
        for command in commands:
            command.apply(change)
        self.view = change.commit()

    def begin(self) -> Change:
        return self.view.begin(Revision(self.view.revision + 1))

    def refusal(self, *commands: Command) -> Refused:
        try:
            self.apply(*commands)
        except Refused as refused:
            return refused
        raise AssertionError("nothing was refused")

    def volume(self, volume_id: VolumeId) -> Volume:
        return self.view.need(Volume, volume_id)


def pool(nodes: int = 3, disks: int = 1) -> Bench:
    return Bench(*(register(number, index) for number in range(1, nodes + 1) for index in range(disks)))


def all_nodes(nodes: int = 3) -> frozenset[NodeId]:
    return frozenset(node(number) for number in range(1, nodes + 1))


def create(bench: Bench, volume_id: str = "v1", *, size_bytes: int = 2 * GIB, extent_bytes: int = 0) -> CreateVolume:
    extent_bytes = extent_bytes or extent_bytes_for(size_bytes)
    extents = range(extent_count(size_bytes, extent_bytes))
    return CreateVolume(
        volume_id=VolumeId(volume_id),
        project_id=PROJECT,
        name="data",
        size_bytes=size_bytes,
        extent_bytes=extent_bytes,
        layout=choose_layout(bench.view, all_nodes(), VolumeId(volume_id), extents),
        now_ms=2000,
    )
