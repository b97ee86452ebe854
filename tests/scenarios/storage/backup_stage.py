"""Three nodes with a disk each, volumes whose bytes are plain files, and backups: what the backup scenarios share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from consensus.store import Change
from noded.core.dice import new_uuid
from noded.core.errors import Refused
from noded.core.ids import ProjectId, Revision, UserId, VolumeId
from noded.core.reconciler import Reconciler
from noded.core.route import Caller, Response
from noded.core.service import PeerContext
from noded.core.units import GIB, MIB
from noded.services import SERVICES as ALL
from storage.backups.authority import CALLS
from storage.backups.model import Backup
from storage.volumes.commands import choose_layout
from storage.volumes.creation import CreateVolume
from storage.volumes.model import Volume
from tests.twins.cluster import SharedCluster
from tests.twins.request import Asked, route
from tests.twins.storage import SimulatedVolumes, give_storage

SERVICES = tuple(service for service in ALL if service.name.startswith("storage."))
ROUTES = [line for service in SERVICES for line in service.routes]
NODES = ("node1", "node2", "node3")
PROJECT = ProjectId("a" * 32)
SIZE = 40 * MIB


def caller(*roles: str) -> Caller:
    return Caller(
        user_id=UserId("u"),
        user_name="u",
        user_domain_id="default",  # type: ignore[arg-type]
        project_id=PROJECT,
        project_name="p",
        roles=frozenset(roles or {"admin", "member", "reader"}),
    )


class Stage:
    """The cluster, and shorthands for what scenarios do with it."""

    def __init__(self, directory: Path) -> None:
        self.shared = SharedCluster(SERVICES, NODES)
        self.machines: dict[str, SimulatedVolumes] = {}
        for number, name in enumerate(NODES, 1):
            drivers = self.shared.drivers[name]
            self.machines[name] = give_storage(drivers, self.shared.cluster(name), number, directory)
        self.reconcilers = {name: self._new_reconcilers(name) for name in NODES}

    def _new_reconcilers(self, name: str) -> list[Reconciler]:
        cluster, drivers = self.shared.cluster(name), self.shared.drivers[name]
        return [make(cluster, drivers) for service in SERVICES for make in service.reconcilers]

    async def settle(self) -> None:
        await self.shared.settle(*(each for name in sorted(self.shared.up) for each in self.reconcilers[name]))

    async def ask(self, verb: str, path: str, body: object = None, *roles: str, **params: str) -> Any:
        asked = Asked(
            cluster=self.shared.cluster(),
            drivers=self.shared.drivers["node1"],
            who=caller(*roles),
            verb=verb,
            path=path,
            body=body,
            params=params,
            microversion=(3, 70),
        )
        answer = await route(ROUTES, verb, path)(asked)
        assert isinstance(answer, Response)
        return answer.body

    async def target(self, verb: str, **form: object) -> None:
        """`noded backup-target VERB` on the first node."""
        context = PeerContext(cluster=self.shared.cluster(), drivers=self.shared.drivers["node1"])
        await CALLS[f"backup_target.{verb}"](context, msgspec.msgpack.encode(form))

    async def volume(self, content: bytes, name: str = "v") -> VolumeId:
        """A small volume that begins with `content`."""
        cluster, volume_id = self.shared.cluster(), VolumeId(new_uuid())
        layout = choose_layout(cluster.view(), cluster.reachable(), volume_id, range(1))
        order = CreateVolume(
            volume_id=volume_id,
            project_id=PROJECT,
            name=name,
            size_bytes=SIZE,
            extent_bytes=GIB,
            layout=layout,
            now_ms=0,
            metadata={"kept": "yes"},
        )
        await cluster.propose(order)
        self.write(volume_id, 0, content)
        return volume_id

    def file(self, volume_id: str) -> Path:
        return self.machines["node1"].file(VolumeId(volume_id))

    def write(self, volume_id: str, offset: int, content: bytes) -> None:
        with self.file(volume_id).open("r+b") as file:
            file.seek(offset)
            file.write(content)

    def read(self, volume_id: str, length: int = 4 * MIB) -> bytes:
        with self.file(volume_id).open("rb") as file:
            return file.read(length)

    async def back_up(self, volume_id: str, **keys: object) -> str:
        answer = await self.ask("POST", "/v3/backups", {"backup": {"volume_id": volume_id, **keys}})
        return str(answer["backup"]["id"])

    async def restore(self, backup_id: str, **keys: object) -> str:
        answer = await self.ask("POST", "/v3/backups/{backup_id}/restore", {"restore": keys}, backup_id=backup_id)
        return str(answer["restore"]["volume_id"])

    async def show(self, backup_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = (await self.ask("GET", "/v3/backups/{backup_id}", backup_id=backup_id))["backup"]
        return shown

    async def act(self, backup_id: str, **action: object) -> None:
        body = {name.replace("os_", "os-"): value for name, value in action.items()}
        await self.ask("POST", "/v3/backups/{backup_id}/action", body, backup_id=backup_id)

    async def delete(self, backup_id: str) -> None:
        await self.ask("DELETE", "/v3/backups/{backup_id}", backup_id=backup_id)

    async def refusal(self, verb: str, path: str, body: object = None, **params: str) -> str:
        try:
            await self.ask(verb, path, body, **params)
        except Refused as refused:
            return refused.message
        raise AssertionError("nothing was refused")

    def record(self, backup_id: str) -> Backup:
        return self.shared.machine.picture.need(Backup, backup_id)

    def volume_record(self, volume_id: str) -> Volume:
        return self.shared.machine.picture.need(Volume, volume_id)

    def files(self) -> list[Volume]:
        """The hidden volumes that hold backups."""
        return [each for each in self.shared.machine.picture.all(Volume) if each.purpose.value == "backup"]

    @contextmanager
    def change(self) -> Iterator[Change]:
        machine = self.shared.machine
        change = machine.picture.begin(Revision(machine.picture.revision + 1))
        yield change
        machine._picture = change.commit()
