"""One kill after the other in a whole cloud: a deed begins, something dies, comes back, and then all must settle."""

import io
import random
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.acceptance.clients import Tenant, administrator, until
from tests.acceptance.nodes import NODED, verify
from tests.contract.compute.boot_sector import boot_sector
from tests.faults.operations.api import Api, NotAnswered, RefusedCall
from tests.faults.operations.doings import BACKUPS, DEEDS, SNAPSHOTS, VOLUMES, Outcome, Stage, can, do
from tests.faults.operations.victims import VICTIMS
from tests.lab.commands import LabError
from tests.lab.lab import Lab, LabHost
from tests.lab.plan import Plan
from tests.lab.whole import wait_whole

SUBNET, LINK = "10.78.4", "noded-ops"
SETTLE_S_MAX = 60.0
DELAY_S = (0.0, 1.5)  # from the call to the kill: before it is heard, in its middle, after its answer
RESTING = {"available", "in-use", "error", "error_restoring", "error_deleting"}
READY = "up"
DATA_BYTES = 32 << 20
TYPES = {"three": "3", "two": "2"}  # of replicas


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one kill."""

    number: int
    victim: str
    deed: str
    host: str
    outcome: str
    settled_s: float | None  # None: not within the time
    left: tuple[str, ...] = ()  # what was not settled, or did not match, at the end


@dataclass
class Cloud:
    """The lab, its one user, and the dice."""

    lab: Lab
    stage: Stage
    operator: Api  # an administrator's
    dice: random.Random

    @property
    def on(self) -> list[LabHost]:
        return list(self.lab.hosts)

    def kill(self, number: int, victim: str, deed: str) -> Kill:
        """Let a deed begin, kill, mend, and wait until all is settled."""
        host, through = self.dice.choice(self.lab.hosts), self.dice.choice(self.lab.hosts)
        outcomes: list[Outcome] = []
        acting = threading.Thread(target=lambda: outcomes.append(do(self.stage, deed, through)))
        acting.start()
        time.sleep(self.dice.uniform(*DELAY_S))
        mend = VICTIMS[victim](self.lab, host, self.dice)
        mend()
        mended = time.monotonic()
        acting.join()
        [outcome] = outcomes
        left = self._await_settled(mended, outcome)
        settled_s = None if left else round(time.monotonic() - mended, 1)
        if self.stage.move is not None and deed == "move" and not left:
            self.stage.move(through, False)
        return Kill(
            number=number,
            victim=victim,
            deed=deed,
            host=host.name,
            outcome=outcome.words,
            settled_s=settled_s,
            left=tuple(left),
        )

    def _await_settled(self, mended: float, outcome: Outcome) -> list[str]:
        """What is still not as it should be when the time is over; nothing: all is."""
        left = ["nobody was asked"]
        while left:
            if left != ["nobody was asked"] and time.monotonic() > mended + SETTLE_S_MAX:
                return left
            left = self._unsettled(outcome) or self._examined()
            if left:
                time.sleep(0.5)
        return []

    def _unsettled(self, outcome: Outcome) -> list[str]:
        """What the API still says to be on its way, or what it promised and did not keep."""
        try:
            for host in self.lab.hosts:  # each must answer again
                self.stage.api.ask(host, "GET", f"{VOLUMES}/detail")
            self.stage.refresh(self.on)
        except (NotAnswered, RefusedCall) as fault:
            return [str(fault)]
        kinds = {VOLUMES: self.stage.volumes, SNAPSHOTS: self.stage.snapshots, BACKUPS: self.stage.backups}
        left = [
            f"{path.rsplit('/', 1)[-1]} {each['id']} is {each['status']}"
            for path, found in kinds.items()
            for each in found
            if each["status"] not in RESTING
        ]
        there = {(path, str(each["id"])) for path, found in kinds.items() for each in found}
        if outcome.made is not None and outcome.made not in there:
            left.append(f"{outcome.words}: was promised and is not there")
        if outcome.gone is not None and outcome.gone in there:
            left.append(f"{outcome.words}: is still there")
        return left or self._moving()

    def _moving(self) -> list[str]:
        """What is on its way between disks, or behind."""
        try:
            pool = self.operator.ask(self.dice.choice(self.lab.hosts), "GET", "/noded/v1/disks")["pool"]
        except (NotAnswered, RefusedCall) as fault:
            return [str(fault)]
        return [f"{name}: {pool[name]}" for name in ("degraded_volumes", "moves") if pool[name]]

    def verify(self) -> list[str]:
        """Whether the replicas of every volume are equal, and none of their blocks is damaged."""
        wrong = []
        for each in self.stage.volumes:
            replicas = verify(self.lab.host(1), each["id"])
            seen = {(replica.get("digest"), replica.get("damaged_blocks")) for replica in replicas}
            if len(seen) > 1 or any(damaged for _, damaged in seen):
                wrong.append(f"volume {each['id']}: {replicas}")
        return wrong

    def _examined(self) -> list[str]:
        """What `noded doctor` says, on any host."""
        try:
            found = self.operator.ask(self.dice.choice(self.lab.hosts), "GET", "/noded/v1/doctor")["findings"]
        except (NotAnswered, RefusedCall) as fault:
            return [str(fault)]
        return [f"{each['kind']}: {each['what']} ({each['why']})" for each in found]

    def clear(self) -> None:
        """Room for more: what is in error, or too much, goes."""
        for path, found in ((BACKUPS, self.stage.backups), (SNAPSHOTS, self.stage.snapshots)):
            for each in found:
                if each["status"].startswith("error"):
                    self.stage.api.gone(self.on, f"{path}/{each['id']}")
        mine = self.stage.api.surely(self.on, "GET", "/image/v2/images?visibility=private&limit=1000")["images"]
        for each in mine:
            self.stage.api.gone(self.on, f"/image/v2/images/{each['id']}")
        for each in self.stage.volumes:
            if each["status"].startswith("error"):
                self.stage.api.gone(self.on, f"{VOLUMES}/{each['id']}?cascade=true")


def schedule(kills: int, dice: random.Random) -> list[str]:
    """Each victim about as often as any other, in any order."""
    names = list(VICTIMS)
    drawn = [names[number % len(names)] for number in range(kills)]
    dice.shuffle(drawn)
    return drawn


def run(root: Path, kills: int, seed: int, seconds_max: float, say: Callable[[str], None]) -> list[Kill]:
    """All kills, or as many as there is time for."""
    dice = random.Random(seed)
    began = time.monotonic()
    results: list[Kill] = []
    with Lab(Plan(root=root, subnet=SUBNET, link=LINK)) as lab:
        wait_whole(lab)
        cloud = Cloud(lab, furnish(lab, root, dice), Api.of(administrator(lab)), dice)
        for number, victim in enumerate(schedule(kills, dice), 1):
            if time.monotonic() - began > seconds_max:
                break
            cloud.stage.refresh(cloud.on)
            cloud.clear()
            cloud.stage.refresh(cloud.on)
            deed = dice.choice([name for name in DEEDS if can(cloud.stage, name)])
            result = cloud.kill(number, victim, deed)
            results.append(result)
            say(told(result))
            if result.left:
                keep(lab, root, number)
                break  # what is stuck would be found again by every later one
        if not any(result.left for result in results) and (wrong := cloud.verify()):
            results[-1] = msgspec.structs.replace(results[-1], settled_s=None, left=tuple(wrong))
            say(told(results[-1]))
    return results


def furnish(lab: Lab, root: Path, dice: random.Random) -> Stage:
    """An image, a server that runs, two volumes."""
    admin = administrator(lab)
    operator = admin.connect()
    # A guest that is up at once, reads its disk again and again, and lets go of a disk when asked.
    guest = _image(operator, "guest", boot_sector())
    data = _image(operator, "data", dice.randbytes(DATA_BYTES))
    for name, replicas in TYPES.items():
        kind = operator.block_storage.create_type(name=name, extra_specs={"replicas": replicas})
        assert kind.name == name
    flavor = operator.compute.create_flavor(name="small", vcpus=1, ram=128, disk=1)
    tenant = Tenant.make(admin, lab, root)
    server = tenant.active(tenant.create("user", guest, flavor.id))
    tenant.says(server, READY)
    user = Api.of(tenant.person)
    stage = Stage(user, dice, image_id=data, server_id=str(server.id), types=tuple(TYPES), move=_move)
    for _ in range(2):
        body = {"size": 1, "name": stage.name(), "imageRef": data, "volume_type": dice.choice(stage.types)}
        stage.api.ask(lab.host(1), "POST", VOLUMES, {"volume": body})
    stage.refresh(list(lab.hosts))

    def rest() -> bool:
        stage.refresh(list(lab.hosts))
        return all(each["status"] == "available" for each in stage.volumes)

    until(rest, "two volumes are there")
    return stage


def _image(operator: Any, name: str, content: bytes) -> str:
    made = operator.image.create_image(
        name,
        data=io.BytesIO(content),
        disk_format="raw",
        container_format="bare",
        visibility="public",
        validate_checksum=False,
    )
    return str(made.id)


def _move(host: LabHost, away: bool) -> None:
    """Drain the host's disk, or let it be used again."""
    try:
        host.run(NODED, "disk", "drain" if away else "undrain", f"{host.name}:/var/lib/noded/disks/d1")
    except (LabError, subprocess.TimeoutExpired) as fault:
        raise NotAnswered(str(fault)) from fault


def keep(lab: Lab, root: Path, number: int) -> None:
    """What the hosts wrote, for whoever looks for the reason."""
    for host in lab.hosts:
        subprocess.run(["cp", "-r", host.plan.logs, f"{root}/kept-{number}-{host.name}"], check=False)


def told(kill: Kill) -> str:
    """One line, or one more for each thing that is left."""
    settled = "NOT SETTLED" if kill.settled_s is None else f"settled after {kill.settled_s:.1f} s"
    line = f"{kill.number}: {kill.victim} ({kill.host}) during {kill.deed}: {settled}; {kill.outcome}"
    return "\n".join([line, *(f"    {each}" for each in kill.left)])
