"""What users do with volumes while something is killed: each a call, on things that are there or made for it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.operations.api import Api, NotAnswered, RefusedCall
from tests.lab.lab import LabHost

VOLUMES = "/volume/v3/volumes"
SNAPSHOTS = "/volume/v3/snapshots"
BACKUPS = "/volume/v3/backups"
SERVERS = "/compute/v2.1/servers"
RESTING = {"available", "in-use"}


@dataclass
class Outcome:
    """What came of one call, and what must be true in the end if it was answered."""

    words: str
    made: tuple[str, str] | None = None  # path and id of what must be there
    gone: tuple[str, str] | None = None  # and of what must not be


@dataclass
class Stage:
    """What the user has: refreshed before each deed."""

    api: Api
    dice: random.Random
    image_id: str  # with so much in it that copying takes a while
    server_id: str
    types: tuple[str, ...]  # volume types: on three nodes, on two
    move: Callable[[LabHost, bool], None] | None = None  # drains the disk of a host, or lets it be used again
    volumes: list[dict[str, Any]] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    backups: list[dict[str, Any]] = field(default_factory=list)
    number: int = 0

    def refresh(self, hosts: list[LabHost]) -> None:
        self.volumes = self.api.surely(hosts, "GET", f"{VOLUMES}/detail")["volumes"]
        self.snapshots = self.api.surely(hosts, "GET", f"{SNAPSHOTS}/detail")["snapshots"]
        self.backups = self.api.surely(hosts, "GET", f"{BACKUPS}/detail")["backups"]

    def name(self) -> str:
        self.number += 1
        return f"v{self.number}"

    def idle(self) -> list[dict[str, Any]]:
        """Volumes that nobody has, and that nothing hangs on."""
        used = {each["volume_id"] for each in self.snapshots}
        return [each for each in self.volumes if each["status"] == "available" and each["id"] not in used]

    def available(self) -> list[dict[str, Any]]:
        return [each for each in self.volumes if each["status"] == "available"]

    def attached(self) -> list[dict[str, Any]]:
        mine = [each for each in self.volumes if each["status"] == "in-use"]
        return [each for each in mine if any(one["server_id"] == self.server_id for one in each["attachments"])]


Deed = Callable[[Stage, LabHost], Outcome]


def _make(stage: Stage, host: LabHost, path: str, word: str, body: dict[str, Any]) -> Outcome:
    made = stage.api.ask(host, "POST", path, {word: {"name": stage.name(), **body}})
    return Outcome(f"{word} {made[word]['id']}", made=(path, str(made[word]["id"])))


def _delete(stage: Stage, host: LabHost, path: str, found: list[dict[str, Any]]) -> Outcome:
    one = stage.dice.choice(found)
    stage.api.ask(host, "DELETE", f"{path}/{one['id']}")
    return Outcome(f"delete {one['id']}", gone=(path, str(one["id"])))


def create(stage: Stage, host: LabHost) -> Outcome:
    return _make(stage, host, VOLUMES, "volume", {"size": 1, "volume_type": stage.dice.choice(stage.types)})


def create_from_image(stage: Stage, host: LabHost) -> Outcome:
    body = {"size": 1, "imageRef": stage.image_id, "volume_type": stage.dice.choice(stage.types)}
    return _make(stage, host, VOLUMES, "volume", body)


def clone(stage: Stage, host: LabHost) -> Outcome:
    source = stage.dice.choice([*stage.available(), *stage.attached()])
    return _make(stage, host, VOLUMES, "volume", {"size": source["size"], "source_volid": source["id"]})


def create_from_snapshot(stage: Stage, host: LabHost) -> Outcome:
    source = stage.dice.choice([each for each in stage.snapshots if each["status"] == "available"])
    return _make(stage, host, VOLUMES, "volume", {"size": source["size"], "snapshot_id": source["id"]})


def snapshot(stage: Stage, host: LabHost) -> Outcome:
    source = stage.dice.choice([*stage.available(), *stage.attached()])
    return _make(stage, host, SNAPSHOTS, "snapshot", {"volume_id": source["id"], "force": True})


def backup(stage: Stage, host: LabHost) -> Outcome:
    source = stage.dice.choice([*stage.available(), *stage.attached()])
    earlier = [each for each in stage.backups if each["volume_id"] == source["id"] and each["status"] == "available"]
    body = {"volume_id": source["id"], "force": True, "incremental": bool(earlier)}
    return _make(stage, host, BACKUPS, "backup", body)


def restore(stage: Stage, host: LabHost) -> Outcome:
    one = stage.dice.choice([each for each in stage.backups if each["status"] == "available"])
    made = stage.api.ask(host, "POST", f"{BACKUPS}/{one['id']}/restore", {"restore": {}})["restore"]
    return Outcome(f"restore {one['id']}", made=(VOLUMES, str(made["volume_id"])))


def attach(stage: Stage, host: LabHost) -> Outcome:
    one = stage.dice.choice(stage.available())
    body = {"volumeAttachment": {"volumeId": one["id"]}}
    stage.api.ask(host, "POST", f"{SERVERS}/{stage.server_id}/os-volume_attachments", body)
    return Outcome(f"attach {one['id']}", made=(VOLUMES, str(one["id"])))


def detach(stage: Stage, host: LabHost) -> Outcome:
    one = stage.dice.choice(stage.attached())
    stage.api.ask(host, "DELETE", f"{SERVERS}/{stage.server_id}/os-volume_attachments/{one['id']}")
    return Outcome(f"detach {one['id']}", made=(VOLUMES, str(one["id"])))


def extend(stage: Stage, host: LabHost) -> Outcome:
    one = stage.dice.choice([*stage.available(), *stage.attached()])
    body = {"os-extend": {"new_size": one["size"] + 1}}
    stage.api.ask(host, "POST", f"{VOLUMES}/{one['id']}/action", body)
    return Outcome(f"extend {one['id']}", made=(VOLUMES, str(one["id"])))


def delete(stage: Stage, host: LabHost) -> Outcome:
    return _delete(stage, host, VOLUMES, stage.idle())


def delete_snapshot(stage: Stage, host: LabHost) -> Outcome:
    return _delete(stage, host, SNAPSHOTS, stage.snapshots)


def delete_backup(stage: Stage, host: LabHost) -> Outcome:
    bases = {each["id"] for each in stage.backups if each["has_dependent_backups"]}
    return _delete(stage, host, BACKUPS, [each for each in stage.backups if each["id"] not in bases])


def upload(stage: Stage, host: LabHost) -> Outcome:
    """A volume's bytes become an image; nobody needs it afterwards."""
    one = stage.dice.choice(stage.available())
    body = {"os-volume_upload_image": {"image_name": stage.name(), "force": True, "disk_format": "raw"}}
    stage.api.ask(host, "POST", f"{VOLUMES}/{one['id']}/action", body)
    return Outcome(f"upload {one['id']}", made=(VOLUMES, str(one["id"])))


def retype(stage: Stage, host: LabHost) -> Outcome:
    one = stage.dice.choice(stage.available())
    wanted = next(each for each in stage.types if each != one["volume_type"])
    body = {"os-retype": {"new_type": wanted, "migration_policy": "on-demand"}}
    stage.api.ask(host, "POST", f"{VOLUMES}/{one['id']}/action", body)
    return Outcome(f"retype {one['id']}", made=(VOLUMES, str(one["id"])))


def move(stage: Stage, host: LabHost) -> Outcome:
    """What lies on a host's disk goes to others, as far as there are any; later it may come back."""
    assert stage.move is not None
    stage.move(host, True)
    return Outcome(f"drain {host.name}")


DEEDS: dict[str, Deed] = {
    "create": create,
    "create from image": create_from_image,
    "clone": clone,
    "create from snapshot": create_from_snapshot,
    "snapshot": snapshot,
    "backup": backup,
    "restore": restore,
    "attach": attach,
    "detach": detach,
    "extend": extend,
    "delete": delete,
    "delete snapshot": delete_snapshot,
    "delete backup": delete_backup,
    "upload": upload,
    "retype": retype,
    "move": move,
}


def can(stage: Stage, name: str) -> bool:
    """Whether there is anything to do it with, and not too much already."""
    any_volume = bool(stage.available() or stage.attached())
    few = len(stage.volumes) < 14
    return {
        "create": few,
        "create from image": few,
        "clone": any_volume and few,
        "create from snapshot": any(each["status"] == "available" for each in stage.snapshots) and few,
        "snapshot": any_volume and len(stage.snapshots) < 8,
        "backup": any_volume and len(stage.backups) < 6,
        "restore": any(each["status"] == "available" for each in stage.backups) and few,
        "attach": bool(stage.available()) and len(stage.attached()) < 4,
        "detach": bool(stage.attached()),
        "extend": any(each["size"] < 4 for each in (*stage.available(), *stage.attached())),
        "delete": bool(stage.idle()),
        "delete snapshot": bool(stage.snapshots),
        "delete backup": bool(stage.backups),
        "upload": bool(stage.available()),
        "retype": bool(stage.available()) and len(stage.types) > 1,
        "move": any_volume and stage.move is not None,
    }[name]


def do(stage: Stage, name: str, host: LabHost) -> Outcome:
    """One deed; what was refused or not answered promises nothing."""
    try:
        return DEEDS[name](stage, host)
    except RefusedCall as fault:
        return Outcome(f"refused: {fault}")
    except NotAnswered as fault:
        return Outcome(f"not answered: {fault}")
