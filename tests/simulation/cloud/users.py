"""Who uses a simulated cloud? Users who make and delete things through the API of any node, and remember what it said.

What was acknowledged must hold at the end. What was refused, or what nobody answered, may be so or not.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import trio

from tests.twins.cloud import ADMIN_PASSWORD, sign_in_body

THINK_S: Final = 0.6
KINDS: Final = ("network", "port", "volume", "server", "image", "keypair")
IMAGE_BYTES: Final = b"a disk without an operating system" * 30


class Api(Protocol):
    """The cloud as a client has it: some node answers, or nobody does."""

    async def request(
        self, verb: str, path: str, *, body: object = None, raw: bytes | None = None, headers: dict[str, str]
    ) -> "Answer":
        """Ask any node that is up."""


@dataclass(frozen=True)
class Answer:
    """What came back; status 0: nothing did."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_unclear(self) -> bool:
        return self.status == 0 or self.status >= 500


@dataclass
class Ledger:
    """What all users together were told."""

    made: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    deleted: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})
    maybe_deleted: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})
    counts: Counter[str] = field(default_factory=Counter)

    def must_be(self, kind: str) -> set[str]:
        """What somebody was told is there, and nobody tried to delete."""
        return set(self.made[kind]) - self.maybe_deleted[kind]

    def must_not_be(self, kind: str) -> set[str]:
        return self.deleted[kind]

    def some(self, dice: random.Random, kind: str) -> str | None:
        """One that may still be there."""
        alive = [made for made in self.made[kind] if made not in self.deleted[kind]]
        return dice.choice(alive) if alive else None


class User:
    """One who does one thing after the other."""

    def __init__(self, number: int, seed: int, api: Api, ledger: Ledger) -> None:
        self.dice = random.Random(f"{seed} user {number}")
        self.api = api
        self.ledger = ledger
        self.name = f"u{number}"
        self._number = 0
        self._headers: dict[str, str] = {}

    async def live(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(self.dice.expovariate(1 / THINK_S))
            await self.do_something()

    async def do_something(self) -> None:
        kind = self.dice.choice(("network", "port", "port", "volume", "server", "server", "server", "image", "keypair"))
        match self.dice.random():
            case chance if chance < 0.5:
                await getattr(self, f"make_{kind}")()
            case chance if chance < 0.8:
                await self.delete(kind)
            case chance if chance < 0.9:
                await self.act_on_server()
            case _:
                await self.dice.choice((self.attach, self.attach, self.detach))()

    async def ask(self, verb: str, path: str, body: object = None, raw: bytes | None = None, **headers: str) -> Answer:
        if not self._headers:
            await self.sign_in()
        answer = await self.api.request(verb, path, body=body, raw=raw, headers=self._headers | headers)
        if answer.status == 401:
            self._headers = {}
        self.ledger.counts["unclear" if answer.is_unclear else "done" if answer.is_done else "refused"] += 1
        return answer

    async def sign_in(self) -> None:
        body = sign_in_body("admin", ADMIN_PASSWORD, "admin")
        answer = await self.api.request("POST", "/identity/v3/auth/tokens", body=body, headers={})
        if answer.is_done:
            self._headers = {"X-Auth-Token": answer.headers["x-subject-token"]}

    def _new_name(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}"

    def _note(self, kind: str, answer: Answer, *keys: str) -> str | None:
        if not answer.is_done:
            return None
        found = answer.body
        for key in keys:
            found = found[key]
        self.ledger.made[kind].append(str(found))
        self.ledger.counts[f"{kind}s made"] += 1
        return str(found)

    # -- what a user does

    async def make_network(self) -> None:
        answer = await self.ask("POST", "/network/v2.0/networks", {"network": {"name": self._new_name()}})
        network_id = self._note("network", answer, "network", "id")
        if network_id is not None:
            # A small one: its addresses run out.
            subnet = {"network_id": network_id, "ip_version": 4, "cidr": "192.168.5.0/29", "name": "sub"}
            await self.ask("POST", "/network/v2.0/subnets", {"subnet": subnet})

    async def make_port(self) -> None:
        if (network_id := self.ledger.some(self.dice, "network")) is not None:
            port = {"network_id": network_id, "name": self._new_name()}
            self._note("port", await self.ask("POST", "/network/v2.0/ports", {"port": port}), "port", "id")

    async def make_volume(self) -> None:
        volume = {"size": self.dice.choice((1, 2)), "name": self._new_name()}
        answer = await self.ask("POST", "/volume/v3/volumes", {"volume": volume})
        self._note("volume", answer, "volume", "id")

    async def make_image(self) -> None:
        image = {"name": self._new_name(), "disk_format": "raw", "container_format": "bare"}
        image_id = self._note("image", await self.ask("POST", "/image/v2/images", image), "id")
        if image_id is not None and self.dice.random() < 0.8:
            await self.upload(image_id)

    async def upload(self, image_id: str) -> Answer:
        path = f"/image/v2/images/{image_id}/file"
        return await self.ask("PUT", path, raw=IMAGE_BYTES, **{"Content-Type": "application/octet-stream"})

    async def make_keypair(self) -> None:
        name = self._new_name()
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEMq+jZf9+nCyk8v4ntCCbxPWXl5qA0a0ovxtTUG1b a@b"
        body = {"keypair": {"name": name, "public_key": key}}
        self._note("keypair", await self.ask("POST", "/compute/v2.1/os-keypairs", body), "keypair", "name")

    async def make_server(self) -> None:
        network_id, image_id = self.ledger.some(self.dice, "network"), self.ledger.some(self.dice, "image")
        if network_id is None or image_id is None:
            return
        server = {
            "name": self._new_name(),
            "imageRef": image_id,
            "flavorRef": "1",
            "networks": [{"uuid": network_id}],
        }
        answer = await self.ask("POST", "/compute/v2.1/servers", {"server": server})
        self._note("server", answer, "server", "id")

    async def act_on_server(self) -> None:
        if (server_id := self.ledger.some(self.dice, "server")) is not None:
            action = self.dice.choice(
                ({"os-stop": None}, {"os-start": None}, {"reboot": {"type": "HARD"}}, {"reboot": {"type": "SOFT"}})
            )
            await self.ask("POST", f"/compute/v2.1/servers/{server_id}/action", action)

    async def attach(self) -> None:
        server_id, volume_id = self.ledger.some(self.dice, "server"), self.ledger.some(self.dice, "volume")
        if server_id is not None and volume_id is not None:
            body = {"volumeAttachment": {"volumeId": volume_id}}
            answer = await self.ask("POST", f"/compute/v2.1/servers/{server_id}/os-volume_attachments", body)
            self.ledger.counts["volumes attached"] += answer.is_done

    async def detach(self) -> None:
        server_id = self.ledger.some(self.dice, "server")
        if server_id is None:
            return
        path = f"/compute/v2.1/servers/{server_id}/os-volume_attachments"
        answer = await self.ask("GET", path)
        found = answer.body["volumeAttachments"] if answer.is_done else []
        if found:
            gone = await self.ask("DELETE", f"{path}/{self.dice.choice(found)['volumeId']}")
            self.ledger.counts["volumes detached"] += gone.is_done

    async def delete(self, kind: str) -> None:
        thing = self.ledger.some(self.dice, kind)
        if thing is None:
            return
        self.ledger.maybe_deleted[kind].add(thing)
        answer = await self.ask("DELETE", self._path(kind) + thing)
        if answer.is_done:
            self.ledger.deleted[kind].add(thing)
            self.ledger.counts[f"{kind}s deleted"] += 1

    def _path(self, kind: str) -> str:
        return {
            "network": "/network/v2.0/networks/",
            "port": "/network/v2.0/ports/",
            "volume": "/volume/v3/volumes/",
            "server": "/compute/v2.1/servers/",
            "image": "/image/v2/images/",
            "keypair": "/compute/v2.1/os-keypairs/",
        }[kind]

    async def begin(self) -> None:
        """Make a first network and image, in calm weather."""
        await self.make_network()
        while not (image_id := self.ledger.some(self.dice, "image")):
            await self.make_image()
        await self.upload(image_id)
