"""The same without hosts: three nodes' real extent and volume servers, their reconcilers, and a log in memory.

    python -m tests.faults.operations.light --kills 100 --seed 3

A daemon that dies is one whose tasks are cancelled; what it started detached is killed with SIGKILL. It needs neither
namespaces nor QEMU: what attaches a volume here is a change of the store.
"""

import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import trio

from noded.core.dice import new_uuid
from noded.core.errors import Refused
from noded.core.ids import NodeId, VolumeId
from noded.core.service import PeerContext
from noded.core.store import View
from noded.doctor.views import of_records
from storage.backups.model import Backup
from storage.snapshots.model import Snapshot, status
from storage.volumes.commands import attach_volume, detach_volume
from storage.volumes.model import Purpose, Volume
from tests.faults.storage_nodes import SERVICES, StorageNodes, storage_nodes

SETTLE_S_MAX = 60.0
RESTING = {"available", "in-use", "error", "error_restoring"}
VOLUMES, SNAPSHOTS, BACKUPS = "/v3/volumes", "/v3/snapshots", "/v3/backups"
ACTION = "/v3/volumes/{volume_id}/action"


class World:
    """The nodes, the dice, and what a user does."""

    def __init__(self, nodes: StorageNodes, seed: int) -> None:
        self.nodes = nodes
        self.dice = random.Random(seed)

    @property
    def view(self) -> View:
        return self.nodes.shared.machine.picture

    def volumes(self, *states: str) -> list[Volume]:
        mine = [each for each in self.view.all(Volume) if each.purpose is Purpose.DATA]
        return [each for each in mine if not each.deleting and (not states or each.status in states)]

    def can(self, deed: str) -> bool:
        """Whether there is anything to do it with, and not too much already."""
        free, taken = self.volumes("available"), [each for each in self.volumes("in-use") if not each.phase]
        snapshots = self.view.all(Snapshot)
        backups = [each for each in self.view.all(Backup) if each.complete and each.work is None]
        few = len(self.volumes()) < 10
        return {
            "create": few,
            "clone": few and bool(free or taken),
            "create_from_snapshot": few and any(status(self.view, each) == "available" for each in snapshots),
            "restore": few and bool(backups),
            "snapshot": bool(free or taken) and len(snapshots) < 6,
            "backup": bool(free or taken) and len(backups) < 4,
            "attach": bool(free) and len(taken) < 4,
            "detach": bool(taken),
            "extend": any(each.gib < 4 for each in free),
            "delete": bool({each.volume_id for each in free} - {each.volume_id for each in snapshots}),
            "delete_snapshot": bool(snapshots),
            "delete_backup": bool(backups),
        }[deed]

    async def ask(self, verb: str, path: str, body: object = None, **params: str) -> Any:
        number = self.dice.randrange(3) + 1
        answer = await self.nodes.ask(number, verb, path, params=params, body=body, microversion=(3, 70))
        return answer.body

    async def write(self, volume_id: VolumeId) -> None:
        """Something to copy: only where nobody has the volume."""
        async with self.nodes.files(self.dice.randrange(3) + 1).open(volume_id, writable=True) as file:
            await trio.to_thread.run_sync(_write, file.path, self.dice.randbytes(4 << 20))

    # --- deeds

    async def create(self) -> None:
        made = await self.ask("POST", VOLUMES, {"volume": {"size": 1}})
        await self.write(VolumeId(made["volume"]["id"]))

    async def clone(self) -> None:
        source = self.dice.choice(self.volumes("available", "in-use"))
        await self.ask("POST", VOLUMES, {"volume": {"size": source.gib, "source_volid": source.id}})

    async def snapshot(self) -> None:
        source = self.dice.choice(self.volumes("available", "in-use"))
        await self.ask("POST", SNAPSHOTS, {"snapshot": {"volume_id": source.id, "force": True}})

    async def create_from_snapshot(self) -> None:
        made = self.dice.choice([each for each in self.view.all(Snapshot) if status(self.view, each) == "available"])
        await self.ask("POST", VOLUMES, {"volume": {"size": made.gib + 1, "snapshot_id": made.id}})

    async def backup(self) -> None:
        source = self.dice.choice(self.volumes("available", "in-use"))
        await self.ask("POST", BACKUPS, {"backup": {"volume_id": source.id, "force": True}})

    async def restore(self) -> None:
        made = self.dice.choice([each for each in self.view.all(Backup) if each.complete and each.work is None])
        await self.ask("POST", "/v3/backups/{backup_id}/restore", {"restore": {}}, backup_id=made.id)

    async def attach(self) -> None:
        volume_id = self.dice.choice(self.volumes("available")).volume_id
        number = self.dice.randrange(3) + 1
        with self.nodes.change() as change:
            attach_volume(change, volume_id, server_id=new_uuid(), node_id=NodeId(self.nodes.ids[number - 1]))

    async def detach(self) -> None:
        volume_id = self.dice.choice([each for each in self.volumes("in-use") if not each.phase]).volume_id
        with self.nodes.change() as change:
            detach_volume(change, volume_id)

    async def extend(self) -> None:
        one = self.dice.choice(self.volumes("available"))
        await self.ask("POST", ACTION, {"os-extend": {"new_size": one.gib + 1}}, volume_id=one.id)

    async def delete(self) -> None:
        used = {each.volume_id for each in self.view.all(Snapshot)}
        one = self.dice.choice([each for each in self.volumes("available", "error") if each.volume_id not in used])
        await self.ask("DELETE", "/v3/volumes/{volume_id}", volume_id=one.id)

    async def delete_snapshot(self) -> None:
        one = self.dice.choice(self.view.all(Snapshot))
        await self.ask("DELETE", "/v3/snapshots/{snapshot_id}", snapshot_id=one.id)

    async def delete_backup(self) -> None:
        one = self.dice.choice([each for each in self.view.all(Backup) if each.work is None])
        await self.ask("DELETE", "/v3/backups/{backup_id}", backup_id=one.id)

    # --- kills

    async def kill_volume_servers(self) -> None:
        for node in self.nodes.nodes.values():
            for lock in (node.run / "volumes").glob("*/lock"):
                node.signal_volume_server(VolumeId(lock.parent.name), signal.SIGKILL)

    async def kill_extent_server(self) -> None:
        self.nodes.node(self.dice.randrange(3) + 1).signal_extent_server(signal.SIGKILL)

    async def kill_daemon(self) -> None:
        await self._end(self.dice.randrange(3) + 1)

    async def kill_host(self) -> None:
        """All that one node runs."""
        number = self.dice.randrange(3) + 1
        node = self.nodes.node(number)
        for lock in (node.run / "volumes").glob("*/lock"):
            node.signal_volume_server(VolumeId(lock.parent.name), signal.SIGKILL)
        node.signal_extent_server(signal.SIGKILL)
        await self._end(number)

    async def _end(self, number: int) -> None:
        node_id = NodeId(self.nodes.ids[number - 1])
        self.nodes.scopes[node_id].cancel()
        self.nodes.shared.up.discard(node_id)
        await trio.sleep(self.dice.uniform(0.2, 2.0))
        self.nodes.shared.up.add(node_id)
        await self.nodes.start_daemon(number)

    # --- judging

    async def left(self) -> list[str]:
        """What is not at rest, or does not match."""
        view = self.view
        found = [f"volume {each.id} is {each.status}" for each in self.volumes() if each.status not in RESTING]
        found += [
            f"volume {each.id} is being deleted" for each in view.all(Volume) if each.deleting and not _held(view, each)
        ]
        found += [f"volume {each.id} is behind on {each.out_of_sync}" for each in view.all(Volume) if each.out_of_sync]
        found += [
            f"snapshot {each.id} is {status(view, each)}"
            for each in view.all(Snapshot)
            if status(view, each) == "creating"
        ]
        found += [f"backup {each.id}: {each.work}" for each in view.all(Backup) if each.work is not None]
        # Here servers are only names.
        records = [
            each for each in of_records(SERVICES, view) if not each.patience_s and each.kind != "failed snapshot"
        ]
        found += [f"{each.kind}: {each.what} ({each.why})" for each in records]
        for node_id in self.nodes.ids:
            context = PeerContext(
                cluster=self.nodes.shared.cluster(node_id), drivers=self.nodes.shared.drivers[node_id]
            )
            for service in SERVICES:
                for look in service.examines_machine:
                    found += [f"{each.kind}: {each.what} ({each.why})" for each in await look(context)]
        return found


def _held(view: View, volume: Volume) -> bool:
    return bool(view.find(Volume, "parent_id", volume.id))


def _write(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)


async def once(world: World, kill: str, deed: str) -> tuple[str, float | None, list[str]]:
    """One deed and one kill in its middle: what came of the call, when all was settled, and what was left if never."""
    outcome = "done"

    async def act() -> None:
        nonlocal outcome
        try:
            await getattr(world, deed)()
        except (Refused, OSError) as refused:
            outcome = f"refused: {refused}"[:100]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(act)
        await trio.sleep(world.dice.uniform(0.0, 1.0))
        await getattr(world, kill)()
    mended = time.monotonic()
    left = ["nobody looked"]
    while left and time.monotonic() - mended < SETTLE_S_MAX:
        try:
            left = await world.left()
        except Refused as refused:
            left = [refused.message]
        await trio.sleep(0.3 if left else 0.0)
    return outcome, None if left else time.monotonic() - mended, left


def names_of(prefix: str) -> list[str]:
    return sorted(name for name in vars(World) if name.startswith(prefix))


DEEDS: dict[str, Callable[..., Awaitable[None]]] = {
    each.__name__: each
    for each in (
        World.create, World.clone, World.snapshot, World.create_from_snapshot, World.backup, World.restore,
        World.attach, World.detach, World.extend, World.delete, World.delete_snapshot, World.delete_backup,
    )
}  # fmt: skip


async def run(kills: int, seed: int) -> bool:
    """All kills; whether everything settled."""
    clean, times = True, []
    with tempfile.TemporaryDirectory(prefix="light-") as root:
        async with storage_nodes(Path(root)) as nodes:
            world = World(nodes, seed)
            await world.create()
            for number in range(1, kills + 1):
                deed = world.dice.choice([each for each in DEEDS if world.can(each)])
                kill = world.dice.choice(names_of("kill_"))
                outcome, seconds, left = await once(world, kill, deed)
                told = "NOT SETTLED" if seconds is None else f"settled after {seconds:.1f} s"
                click.echo(f"{number}: {kill} during {deed}: {told}; {outcome}")
                times += [] if seconds is None else [seconds]
                if left:
                    clean = False
                    click.echo("\n".join(f"    {each}" for each in left))
                    break
    click.echo(f"{len(times)} settled, the longest after {max(times, default=0.0):.1f} s")
    return clean


@click.command()
@click.option("--kills", default=100, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(kills: int, seed: int) -> None:
    """Kill, and see whether everything settles and matches. Exit status 1: it did not."""
    sys.exit(0 if trio.run(run, kills, seed) else 1)


if __name__ == "__main__":
    main()
