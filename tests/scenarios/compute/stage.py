"""Three nodes that run guests in memory, behind the real gateway; reconcilers run when the scenario says so."""

import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

import compute.attachments
import compute.discovery
import compute.flavors
import compute.keypairs
import compute.limits
import compute.placement
import compute.server_metadata
import compute.server_parts
import compute.servers
import images.catalog
import images.contents
import images.discovery
import images.members
import net.discovery
import net.extensions
import net.networks
import net.ports
import net.security_groups
import noded.services
from compute.attachments.reconcile import GrowthReconciler
from compute.host.simulated import SimulatedHypervisor
from compute.hypervisor import Hypervisor
from compute.placement.model import Allocation, ComputeNode
from compute.placement.reconcile import CapacityReporter
from compute.servers.model import Server
from compute.servers.reconcile import ServersReconciler
from images.catalog.model import Contents, Image, Visibility
from net.links import PortWiring, Tap
from noded.core.errors import Unavailable
from noded.core.ids import NodeId, PortId, ProjectId, Revision, ServerId, VolumeId
from noded.core.service import Service
from noded.core.units import MIB
from storage.pools.reconcile import DisksReconciler
from storage.volumes.commands import choose_layout, create_volume, seal_volume
from storage.volumes.model import IMAGE_EXTENT_BYTES, Purpose, Volume
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, found_cloud
from tests.twins.storage import SimulatedVolumes, give_storage

SERVICES = (
    *IDENTITY_SERVICES,
    *(module.SERVICE for module in (net.discovery, net.extensions, net.networks, net.ports, net.security_groups)),
    *(service for service in noded.services.SERVICES if service.name.startswith("storage.")),
    *(module.SERVICE for module in (images.discovery, images.catalog, images.contents, images.members)),
    *(module.SERVICE for module in (compute.discovery, compute.flavors, compute.keypairs, compute.placement)),
    *(
        module.SERVICE
        for module in (
            compute.attachments,
            compute.servers,
            compute.server_metadata,
            compute.server_parts,
            compute.limits,
        )
    ),
)
IMAGE_ID = "11111111-2222-4333-8444-555555555555"
IMAGE_VOLUME = VolumeId("11111111-2222-4333-8444-666666666666")


class SimulatedWiring:
    """Implements `PortWiring`: remembers which ports are plugged."""

    def __init__(self) -> None:
        self.plugged: set[PortId] = set()
        self.fault: str | None = None

    async def plug(self, port_id: PortId) -> Tap:
        if self.fault is not None:
            raise Unavailable(self.fault)
        self.plugged.add(port_id)
        return Tap(name=f"nd{port_id[:8]}", mtu=1450)

    async def unplug(self, port_id: PortId) -> None:
        self.plugged.discard(port_id)


@dataclass
class Machine:
    """One node's machine, and the reconcilers of the daemon that runs on it."""

    hypervisor: SimulatedHypervisor
    wiring: SimulatedWiring
    volumes: SimulatedVolumes
    reconciler: ServersReconciler
    capacity: CapacityReporter
    growth: GrowthReconciler


@dataclass
class Stage:
    """The cloud, and shorthands for what scenarios do with it."""

    cloud: Cloud
    client: httpx.AsyncClient
    headers: dict[str, str]
    machines: dict[str, Machine] = field(default_factory=dict)
    network_id: str = ""
    flavor_id: str = "1"  # m1.nano: 128 MiB

    async def ask(self, verb: str, path: str, body: object = None, *, status: int, **headers: str) -> Any:
        answer = await self.client.request(verb, path, json=body, headers=self.headers | headers)
        assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
        return answer.json() if answer.content else None

    async def compute(self, verb: str, path: str, body: object = None, *, status: int, version: str = "2.1") -> Any:
        legacy = {"X-OpenStack-Nova-API-Version": version}
        return await self.ask(verb, f"/compute/v2.1{path}", body, status=status, **legacy)

    async def volume(self, verb: str, path: str, body: object = None, *, status: int, version: str = "3.0") -> Any:
        wanted = {"OpenStack-API-Version": f"volume {version}"}
        return await self.ask(verb, f"/volume/v3{path}", body, status=status, **wanted)

    async def new_volume(self, gib: int = 1) -> str:
        return str((await self.volume("POST", "/volumes", {"volume": {"size": gib}}, status=202))["volume"]["id"])

    async def volume_status(self, volume_id: str) -> str:
        return str((await self.volume("GET", f"/volumes/{volume_id}", status=200))["volume"]["status"])

    async def attach(
        self, server_id: str, volume_id: str, *, status: int = 200, version: str = "2.1", **more: object
    ) -> Any:
        body = {"volumeAttachment": {"volumeId": volume_id} | more}
        path = f"/servers/{server_id}/os-volume_attachments"
        return await self.compute("POST", path, body, status=status, version=version)

    async def detach(self, server_id: str, volume_id: str, *, status: int = 202) -> None:
        await self.compute("DELETE", f"/servers/{server_id}/os-volume_attachments/{volume_id}", status=status)

    def server_body(self, name: str = "s", **more: object) -> dict[str, object]:
        server = {"name": name, "imageRef": IMAGE_ID, "flavorRef": self.flavor_id}
        return {"server": server | {"networks": [{"uuid": self.network_id}]} | more}

    async def create(self, name: str = "s", **more: object) -> ServerId:
        body = await self.compute("POST", "/servers", self.server_body(name, **more), status=202)
        return ServerId(body["server"]["id"])

    async def act(self, server_id: str, action: str, argument: object = None, *, status: int = 202) -> Any:
        return await self.compute("POST", f"/servers/{server_id}/action", {action: argument}, status=status)

    async def show(self, server_id: str, version: str = "2.1") -> dict[str, Any]:
        body = await self.compute("GET", f"/servers/{server_id}", status=200, version=version)
        server: dict[str, Any] = body["server"]
        return server

    async def status(self, server_id: str) -> str:
        return str((await self.show(server_id))["status"])

    def record(self, server_id: str) -> Server:
        return self.cloud.shared.machine.picture.need(Server, server_id)

    def machine_of(self, server_id: str) -> Machine:
        return self.machines[self.record(server_id).node_id]

    async def settle(self) -> None:
        """Run the reconcilers of the nodes that are up until nothing changes any more, in the log or on a machine."""
        up = [machine for name, machine in sorted(self.machines.items()) if name in self.cloud.shared.up]
        for _ in range(20):
            before = [self.cloud.shared.machine.picture.revision, *[dict(each.hypervisor.held) for each in up]]
            for each in up:
                await each.reconciler.reconcile()
                await each.growth.reconcile()
            if before == [self.cloud.shared.machine.picture.revision, *[each.hypervisor.held for each in up]]:
                return
        raise AssertionError("not settled")

    def restart_daemon(self, node: str) -> None:
        """A new daemon on the same machine: it remembers nothing."""
        shared = self.cloud.shared
        self.machines[node].reconciler = ServersReconciler(shared.cluster(node), shared.drivers[node])

    def memory_used(self) -> dict[str, int]:
        picture = self.cloud.shared.machine.picture
        return {
            node.id: sum(each.memory_mib for each in picture.find(Allocation, "node_id", node.id))
            for node in picture.all(ComputeNode)
        }

    def volume_ids(self) -> set[str]:
        return {row.id for row in self.cloud.shared.machine.picture.all(Volume)}


@asynccontextmanager
async def open_stage(
    memory_mib: int = 1024,
    nodes: Iterable[str] = ("node1", "node2", "node3"),
    more: Iterable[Service] = (),
) -> AsyncIterator[Stage]:
    """The stage with a network, an image and three reported nodes; `more` services than compute asks for."""
    with tempfile.TemporaryDirectory() as directory:
        cloud = await found_cloud((*SERVICES, *more))
        async with cloud.client() as client:
            stage = Stage(cloud, client, await cloud.admin(client))
            for number, node in enumerate(nodes, 1):
                stage.machines[node] = _machine(cloud, node, number, Path(directory), memory_mib)
            for node, machine in stage.machines.items():
                await machine.capacity.reconcile()
                await DisksReconciler(cloud.shared.cluster(node), cloud.shared.drivers[node]).reconcile()
            _put_image(cloud)
            await _put_network(stage)
            yield stage


def _machine(cloud: Cloud, node: str, number: int, directory: Path, memory_mib: int) -> Machine:
    cluster, drivers = cloud.shared.cluster(node), cloud.shared.drivers[node]
    hypervisor, wiring = SimulatedHypervisor(node, memory_mib=memory_mib), SimulatedWiring()
    volumes = give_storage(drivers, cluster, number, directory)
    drivers.add(Hypervisor, hypervisor)
    drivers.add(PortWiring, wiring)
    reconciler = ServersReconciler(cluster, drivers)
    growth = GrowthReconciler(cluster, drivers)
    return Machine(hypervisor, wiring, volumes, reconciler, CapacityReporter(cluster, drivers), growth)


def _put_image(cloud: Cloud) -> None:
    """An image as an upload leaves it."""
    machine = cloud.shared.machine
    change = machine.picture.begin(Revision(machine.picture.revision + 1))
    layout = choose_layout(change, {NodeId(name) for name in cloud.shared.up}, IMAGE_VOLUME, range(1))
    create_volume(
        change,
        volume_id=IMAGE_VOLUME,
        project_id=cloud.admin_project_id,
        name="image",
        size_bytes=64 * MIB,
        extent_bytes=IMAGE_EXTENT_BYTES,
        layout=layout,
        purpose=Purpose.IMAGE,
        now_ms=1,
    )
    seal_volume(change, IMAGE_VOLUME, 64 * MIB)
    contents = Contents(
        size_bytes=64 * MIB,
        virtual_bytes=64 * MIB,
        md5="",
        sha512="",
        file_id=IMAGE_VOLUME,
        disk_id=IMAGE_VOLUME,
    )
    change.put(
        Image(
            id=IMAGE_ID,
            project_id=ProjectId(cloud.admin_project_id),
            name="tiny",
            visibility=Visibility.PUBLIC,
            disk_format="raw",
            container_format="bare",
            contents=contents,
            created_at_ms=1,
            updated_at_ms=1,
        )
    )
    machine._picture = change.commit()


async def _put_network(stage: Stage) -> None:
    body = await stage.ask("POST", "/network/v2.0/networks", {"network": {"name": "net"}}, status=201)
    stage.network_id = body["network"]["id"]
    subnet = {"network_id": stage.network_id, "ip_version": 4, "cidr": "192.168.5.0/24", "name": "sub"}
    await stage.ask("POST", "/network/v2.0/subnets", {"subnet": subnet}, status=201)
