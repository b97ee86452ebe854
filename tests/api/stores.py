"""A cloud with storage and images, whose disks are simulated: what the API tests of both ask."""

import sys
from pathlib import Path

import trio

from consensus.members import SERVICE as members_service
from consensus.members.commands import AdmitNode
from images.catalog.disks import CatalogDisks
from images.contents.links import ImageBytes, WebSource
from images.contents.live import LiveUploads
from images.exports.orders import CatalogExports
from images.host.fetch import HttpSource
from noded.core.cluster import Cluster
from noded.core.ids import NodeId
from noded.core.reconciler import Reconciler
from noded.services import SERVICES
from storage.volumes.links import ImageDisks, ImageExports
from tests.scenarios.images.stage import SimulatedBytes
from tests.twins.cloud import ADMIN_PASSWORD, IDENTITY_SERVICES, Cloud, found_cloud
from tests.twins.storage import give_storage

STORES = (*(service for service in SERVICES if service.name.startswith(("storage.", "images.", "consensus.vault"))),)


Stores = tuple[Cloud, list[Reconciler]]


async def admit_nodes(cloud: Cloud) -> None:
    """The nodes of the cloud are members of it, as the records say."""
    for node in sorted(cloud.shared.drivers):
        await cloud.shared.cluster(node).propose(
            AdmitNode(
                node_id=NodeId(node),
                name=node,
                addresses=(),
                fingerprint=node,
                release="1",
                now_ms=cloud.shared.machine.picture.revision,
            )
        )


async def found_working_stores(directory: Path) -> tuple[Cloud, list[tuple[Reconciler, Cluster]]]:
    """The cloud, and the reconcilers of all its nodes, each with its node's handle."""
    cloud = await found_cloud((*IDENTITY_SERVICES, members_service, *STORES))
    await admit_nodes(cloud)
    reconcilers: list[tuple[Reconciler, Cluster]] = []
    for number, (node, drivers) in enumerate(sorted(cloud.shared.drivers.items()), 1):
        cluster = cloud.shared.cluster(node)
        give_storage(drivers, cluster, number, directory)
        drivers.add(ImageBytes, SimulatedBytes())
        drivers.add(WebSource, HttpSource())
        drivers.add(LiveUploads, LiveUploads())
        drivers.add(ImageDisks, CatalogDisks())
        drivers.add(ImageExports, CatalogExports())
        reconcilers += [(make(cluster, drivers), cluster) for service in STORES for make in service.reconcilers]
    return cloud, reconcilers


async def found_stores(directory: Path) -> Stores:
    """The cloud, and the reconcilers of all its nodes, which have run until nothing changed."""
    cloud, working = await found_working_stores(directory)
    reconcilers = [reconciler for reconciler, _ in working]
    await cloud.shared.settle(*reconcilers)
    return cloud, reconcilers


async def openstack(base: str, ca: Path, *words: str, ok: bool = True) -> str:
    """What the unmodified `openstack` client prints; asserts that it ended well (or, `ok` false, badly)."""
    done = await trio.run_process(
        [
            str(Path(sys.executable).with_name("openstack")),
            f"--os-auth-url={base}/identity/v3",
            "--os-username=admin",
            f"--os-password={ADMIN_PASSWORD}",
            "--os-project-name=admin",
            "--os-user-domain-id=default",
            "--os-project-domain-id=default",
            "--os-identity-api-version=3",
            f"--os-cacert={ca}",
            *words,
        ],
        check=False,
        capture_stdout=True,
        capture_stderr=True,
    )
    assert (done.returncode == 0) is ok, done.stderr.decode()
    return (done.stdout if ok else done.stderr).decode()
