"""Three nodes' real extent and volume servers on this machine; the log they share is in memory.

What the daemon does for storage and images is done here by the services' own reconcilers and handlers, with their real
drivers. A node has an address of its own on the loopback, a disk directory, certificates and a peers socket.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from consensus.host.peers import PeerServer
from consensus.host.tls import member_contexts
from consensus.store import Change
from images.catalog import SERVICE as CATALOG
from images.contents import SERVICE as CONTENTS
from images.host.drivers import add_image_drivers
from images.import_rules import SERVICE as IMPORT_RULES
from images.tasks import SERVICE as TASKS
from noded.core.ids import NodeId, Revision, VolumeId
from noded.core.reconciler import Reconciler
from noded.core.route import Caller, Response
from noded.core.service import PeerContext
from noded.peers import PeerCalls
from noded.reconcile.loop import keep_reconciling
from noded.services import SERVICES as ALL
from storage.host.drivers import add_storage_drivers
from storage.host.lock import send_signal
from storage.host.paths import peers_socket, volume_lock
from storage.pools.model import Disk
from storage.volumes.links import VolumeAttachments, VolumeFiles
from storage.volumes.model import Volume
from tests.twins.cluster import SharedCluster
from tests.twins.keys import Keys
from tests.twins.loopback import own_address
from tests.twins.request import Asked, route
from tests.unit.images.builders import caller

SERVICES = (*(each for each in ALL if each.name.startswith("storage.")), CATALOG, IMPORT_RULES, TASKS, CONTENTS)
SETTLE_S_MAX = 60.0


class StorageNode:
    """One node's directories and drivers."""

    def __init__(self, directory: Path, run: Path, keys: Keys, address: str) -> None:
        self.directory = directory
        self.run = run
        self.address = address
        self.node_id: NodeId = keys.admit(directory / "tls")
        (directory / "disk").mkdir(exist_ok=True)
        run.mkdir(parents=True)

    def signal_extent_server(self, number: signal.Signals) -> bool:
        """Signal the node's one extent server."""
        [lock] = (self.run / "extents").glob("*.lock")
        return send_signal(lock, number)

    def signal_volume_server(self, volume_id: VolumeId, number: signal.Signals) -> bool:
        """Signal the server of one volume on this node."""
        return send_signal(volume_lock(self.run, volume_id), number)


def clean_up(root: Path) -> None:
    """Leave no process, no mount and no file of the nodes whose run directories are in `root`."""
    for lock in (*root.glob("*/volumes/*/lock"), *root.glob("*/extents/*.lock")):
        send_signal(lock, signal.SIGKILL)
    # Not looked for by their own names: what a killed process has mounted can't even be looked at.
    for lock in root.glob("*/volumes/*/lock"):
        subprocess.run(["umount", "-l", lock.with_name("file")], check=False, capture_output=True)
    shutil.rmtree(root, ignore_errors=True)


@contextmanager
def lifeline(root: Path) -> Iterator[None]:
    """Clean up when the context ends, however this process ends: another one waits for its end of a pipe to close."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.storage_nodes", root], stdin=subprocess.PIPE, start_new_session=True
    ) as watcher:
        yield
        assert watcher.stdin is not None
        watcher.stdin.close()


class StorageNodes:
    """The nodes and the log that they share.

    `addresses`: where their processes are; if these are none of this process's own, no peer calls are taken there.
    """

    def __init__(self, directory: Path, count: int, addresses: Sequence[str] = ()) -> None:
        keys = Keys()
        self.root = Path(tempfile.mkdtemp(prefix="storage-"))  # short, for the sockets' sake
        self._takes_calls = not addresses
        addresses = addresses or [own_address(number) for number in range(1, count + 1)]
        nodes = [
            StorageNode(directory / f"n{n}", self.root / f"r{n}", keys, address)
            for n, address in enumerate(addresses, start=1)
        ]
        self.nodes = {node.node_id: node for node in nodes}
        self.ids = list(self.nodes)
        self.shared = SharedCluster(SERVICES, self.ids)
        self.scopes: dict[NodeId, trio.CancelScope] = {}
        self.nursery: trio.Nursery | None = None

    def node(self, number: int) -> StorageNode:
        return self.nodes[self.ids[number - 1]]

    def volume(self, volume_id: str) -> Volume:
        return self.shared.machine.picture.need(Volume, volume_id)

    def attachments(self, number: int) -> VolumeAttachments:
        return self.shared.drivers[self.ids[number - 1]].get(VolumeAttachments)

    def files(self, number: int) -> VolumeFiles:
        return self.shared.drivers[self.ids[number - 1]].get(VolumeFiles)

    async def run_daemon(
        self, node: StorageNode, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """The daemon's part of one node, until its scope is cancelled; then only its detached processes live on."""
        cluster = self.shared.cluster(node.node_id)
        drivers = self.shared.drivers[node.node_id] = self.shared.new_drivers(node.node_id)
        add_storage_drivers(
            drivers,
            node_id=node.node_id,
            directories=[str(node.directory / "disk")],
            address=node.address,
            state_dir=node.directory,
            tls_dir=node.directory / "tls",
            run_dir=node.run,
            log_dir=node.directory / "logs",
        )
        add_image_drivers(drivers)
        calls = PeerCalls(node.node_id, SERVICES, self.shared)
        calls.ready(PeerContext(cluster=cluster, drivers=drivers))
        server = PeerServer(node.node_id, member_contexts(node.directory), calls.served())
        with trio.CancelScope() as self.scopes[node.node_id]:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_local, peers_socket(node.run))
                if self._takes_calls:
                    await nursery.start(server.serve, [node.address])
                for service in SERVICES:
                    for make in service.reconcilers:
                        reconciler: Reconciler = make(cluster, drivers)
                        nursery.start_soon(keep_reconciling, reconciler, cluster)
                task_status.started()
                await trio.sleep_forever()

    async def start_daemon(self, number: int) -> None:
        """The node's daemon, after it was stopped by its scope."""
        assert self.nursery is not None
        await self.nursery.start(self.run_daemon, self.node(number))

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Change the store as another service's command would, and wake who waits for it."""
        machine = self.shared.machine
        change = machine.picture.begin(Revision(machine.picture.revision + 1))
        yield change
        machine._picture = change.commit()
        for handle in self.shared.handles.values():
            handle.on_applied(int(machine.picture.revision))

    async def until(self, true: Callable[[], bool], seconds_max: float = SETTLE_S_MAX) -> None:
        """Wait until something has become true."""
        with trio.fail_after(seconds_max):
            while not true():
                await trio.sleep(0.05)

    async def ask(self, number: int, verb: str, path: str, *, who: Caller | None = None, **asked: object) -> Response:
        """Ask one node's API handler."""
        params = asked.pop("params", {})
        node_id = self.ids[number - 1]
        routes = [line for service in SERVICES for line in service.routes]
        handler: Callable[[Asked], Awaitable[Response]] = route(routes, verb, path)
        return await handler(
            Asked(
                cluster=self.shared.cluster(node_id),
                drivers=self.shared.drivers[node_id],
                who=who or caller(),
                params=params,  # type: ignore[arg-type]
                **asked,  # type: ignore[arg-type]
            )
        )


@asynccontextmanager
async def storage_nodes(directory: Path, count: int = 3) -> AsyncIterator[StorageNodes]:
    """The nodes, with their disks registered."""
    nodes = StorageNodes(directory, count)
    with lifeline(nodes.root):
        async with trio.open_nursery() as nodes.nursery:
            for node in nodes.nodes.values():
                await nodes.nursery.start(nodes.run_daemon, node)
            await nodes.until(lambda: nodes.shared.machine.picture.count(Disk) == count)
            yield nodes
            nodes.nursery.cancel_scope.cancel()


if __name__ == "__main__":
    sys.stdin.read()
    clean_up(Path(sys.argv[1]))
