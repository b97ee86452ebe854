"""Three nodes with a disk each, images and volumes; reconcilers run when the scenario says so."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace as replace_received
from pathlib import Path

from msgspec.structs import replace

from consensus.store import Change
from images.catalog import SERVICE as CATALOG
from images.catalog.model import Image
from images.catalog.views import status
from images.contents import SERVICE as CONTENTS
from images.contents.links import ImageBytes, Received, WebSource
from images.contents.live import LiveUploads
from images.host.transfer import ImageTransfer
from images.import_rules import SERVICE as IMPORT_RULES
from images.members import SERVICE as MEMBERS
from images.tasks import SERVICE as TASKS
from noded.core.errors import Invalid
from noded.core.ids import DiskId, Revision
from noded.core.route import Caller, Response
from noded.core.units import MIB
from storage.pools import SERVICE as POOLS
from storage.pools.links import DiskServers
from storage.pools.model import Disk
from storage.volumes import SERVICE as VOLUMES
from storage.volumes.model import Volume
from tests.twins.cluster import SharedCluster
from tests.twins.request import Asked, route
from tests.twins.storage import SimulatedDisks, SimulatedVolumes, give_storage
from tests.twins.web import SimulatedWeb
from tests.unit.images.builders import caller

SERVICES = (POOLS, VOLUMES, CATALOG, IMPORT_RULES, TASKS, CONTENTS, MEMBERS)
ROUTES = [line for service in SERVICES for line in service.routes]


class SimulatedBytes(ImageTransfer):
    """Files for real; a conversion only marks its target, and of what is large and empty only the start is hashed."""

    broken = False

    async def digest(self, path: Path, size_bytes: int) -> Received:
        start = await super().digest(path, min(size_bytes, MIB))
        return replace_received(start, size_bytes=size_bytes)

    async def convert(self, path: Path, size_bytes: int, disk_format: str, socket: Path) -> None:
        if self.broken:
            raise Invalid("The image is broken inside.")
        with socket.open("r+b") as file:
            file.write(f"converted from {disk_format}".encode())


class Stage:
    """The cluster, and shorthands for what scenarios do with it."""

    def __init__(self, directory: Path, nodes: int = 3) -> None:
        self.names = [f"node{number}" for number in range(1, nodes + 1)]
        self.shared = SharedCluster(SERVICES, self.names)
        self.volumes: dict[str, SimulatedVolumes] = {}
        self.bytes: dict[str, SimulatedBytes] = {}
        self.web = SimulatedWeb()
        for number, name in enumerate(self.names, 1):
            drivers = self.shared.drivers[name]
            self.volumes[name] = give_storage(drivers, self.shared.cluster(name), number, directory)
            self.bytes[name] = SimulatedBytes()
            drivers.add(ImageBytes, self.bytes[name])
            drivers.add(WebSource, self.web)
            drivers.add(LiveUploads, LiveUploads())
        self._reconcilers = {
            name: [
                make(self.shared.cluster(name), self.shared.drivers[name])
                for service in SERVICES
                for make in service.reconcilers
            ]
            for name in self.names
        }

    async def settle(self) -> None:
        await self.shared.settle(
            *(each for name in self.names if name in self.shared.up for each in self._reconcilers[name])
        )

    def disks(self, name: str) -> SimulatedDisks:
        disks = self.shared.drivers[name].get(DiskServers)
        assert isinstance(disks, SimulatedDisks)
        return disks

    async def ask(
        self,
        verb: str,
        path: str,
        *,
        node: str = "node1",
        who: Caller | None = None,
        body: object = None,
        pieces: Iterable[bytes] | AsyncIterator[bytes] = (),
        headers: dict[str, str] | None = None,
        fields: dict[str, list[str]] | None = None,
        **params: str,
    ) -> Response:
        asked = Asked(
            cluster=self.shared.cluster(node),
            drivers=self.shared.drivers[node],
            who=who or caller(),
            verb=verb,
            path=path,
            body=body,
            pieces=pieces,
            headers=headers or {},
            fields=fields or {},
            params=params,
        )
        answer = await route(ROUTES, verb, path)(asked)
        assert isinstance(answer, Response)
        return answer

    async def new_image(self, disk_format: str = "raw", **keys: object) -> str:
        body = {"name": "image", "disk_format": disk_format, "container_format": "bare", **keys}
        answer = await self.ask("POST", "/v2/images", body=body)
        assert isinstance(answer.body, dict)
        return str(answer.body["id"])

    async def upload(
        self, image_id: str, pieces: Iterable[bytes] | AsyncIterator[bytes], node: str = "node1", **headers: str
    ) -> Response:
        return await self.ask(
            "PUT",
            "/v2/images/{image_id}/file",
            node=node,
            pieces=pieces,
            headers={"content-type": "application/octet-stream", **headers},
            image_id=image_id,
        )

    def status(self, image_id: str) -> str:
        return status(self.shared.machine.picture.need(Image, image_id))

    def forget_uploads(self, name: str) -> None:
        """As a restart of the daemon does; what it was doing goes on as a ghost of the old one."""
        live = self.shared.drivers[name].get(LiveUploads)
        live.__init__()  # type: ignore[misc]

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Change the store as another service's command would."""
        machine = self.shared.machine
        change = machine.picture.begin(Revision(machine.picture.revision + 1))
        yield change
        machine._picture = change.commit()

    def behind(self, volume: Volume, disk_id: DiskId) -> Volume:
        """The volume, with one replica that missed something."""
        return replace(volume, in_sync=tuple(disk for disk in volume.in_sync if disk != disk_id))

    def node_of(self, disk_id: DiskId) -> str:
        return self.shared.machine.picture.need(Disk, disk_id).node_id

    def all_volumes(self) -> list[Volume]:
        return self.shared.machine.picture.all(Volume)
