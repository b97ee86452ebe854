"""A cloud in memory with every service of the daemon and a machine under it, furnished with one of each thing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from consensus.doors.links import Porch, Refusals
from consensus.members.links import Dependants, Electorate, Exit
from consensus.watches.links import Kinds
from images.catalog.disks import CatalogDisks
from images.contents.links import ImageBytes
from images.contents.live import LiveUploads
from noded.dashboard.links import LocalApi
from noded.doctor.model import FirstSeen
from noded.gateway.local import InProcessApi
from noded.inspection.links import Registry, VitalsReader
from noded.services import SERVICES, DaemonRegistry, ServiceDependants
from storage.volumes.links import ImageDisks
from tests.scenarios.compute.stage import IMAGE_ID, Stage, open_stage
from tests.scenarios.compute.stage import SERVICES as STAGED
from tests.scenarios.images.stage import SimulatedBytes
from tests.scenarios.test_members import PollingStation
from tests.unit.noded.dashboard.test_cluster_pages import Hall

V3 = "/identity/v3"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2eB4pI3k1bW3p0bW3p0bW3p0bW3p0bW3p0bW3p0bW3 me"


@asynccontextmanager
async def open_whole() -> AsyncIterator[tuple[Stage, dict[str, str]]]:
    """The stage, and the id of something by the names that paths and bodies give it."""
    more = [service for service in SERVICES if service not in STAGED]
    async with open_stage(more=more) as stage:
        for node, drivers in stage.cloud.shared.drivers.items():
            registry, station, hall = DaemonRegistry(stage.cloud.shared.machine), PollingStation({node}), Hall()
            for protocol, driver in (
                (Registry, registry), (Kinds, registry), (Dependants, ServiceDependants()), (Electorate, station),
                (Exit, station), (Porch, hall), (Refusals, hall), (VitalsReader, hall), (ImageBytes, SimulatedBytes()),
                (LiveUploads, LiveUploads()), (FirstSeen, FirstSeen()), (ImageDisks, CatalogDisks()),
                (LocalApi, InProcessApi(stage.cloud.gateways[node])),
            ):  # fmt: skip
                drivers.add(protocol, driver)  # type: ignore[type-abstract]
        yield stage, await _furnish(stage)


async def _furnish(stage: Stage) -> dict[str, str]:
    async def made(path: str, noun: str, status: int = 201, **body: Any) -> str:
        found = (await stage.ask("POST", path, {noun: body}, status=status))[noun]
        return str(found.get("id", found.get("name")))

    roles = (await stage.ask("GET", f"{V3}/roles?name=reader", status=200))["roles"]
    subnets = (await stage.ask("GET", "/network/v2.0/subnets", status=200))["subnets"]
    known = {
        "image_id": IMAGE_ID,
        "network_id": stage.network_id,
        "flavor_id": stage.flavor_id,
        "role_id": roles[0]["id"],
        "subnet_id": subnets[0]["id"],
        "domain_id": await made(f"{V3}/domains", "domain", name="d"),
        "project_id": await made(f"{V3}/projects", "project", name="p"),
        "user_id": await made(f"{V3}/users", "user", name="u", password="p"),
        "group_id": await made(f"{V3}/groups", "group", name="g"),
        "region_id": await made(f"{V3}/regions", "region", id="there"),
        "port_id": await made("/network/v2.0/ports", "port", network_id=stage.network_id),
        "security_group_id": await made("/network/v2.0/security-groups", "security_group", name="sg"),
        "volume_id": await made("/volume/v3/volumes", "volume", 202, size=1),
        "keypair_name": await made("/compute/v2.1/os-keypairs", "keypair", 200, name="k", public_key=KEY),
        "server_id": await stage.create(),
        "namespace": "ns",
        "node_id": "node1",
        "type_id": (await stage.volume("GET", "/types", status=200))["volume_types"][0]["id"],
    }
    await stage.ask("POST", "/image/v2/metadefs/namespaces", {"namespace": "ns"}, status=201)
    await stage.settle()
    known["snapshot_id"] = await made(
        "/volume/v3/snapshots", "snapshot", 202, volume_id=known["volume_id"], name="s", force=True
    )
    return known
