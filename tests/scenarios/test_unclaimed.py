"""The page and the console of a node that belongs to no cluster: what they show, and that a change needs the code."""

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio

from consensus.admission import EntryConfig
from consensus.door import Seed
from consensus.doors.model import LetIn
from consensus.entering import EntryStatus, Fault, Offered
from consensus.host.entry import Entry
from consensus.host.identity import NodeIdentity
from consensus.host.membership import Membership
from consensus.host.peers_plain import call_daemon
from consensus.host.refusals import RefusalBook
from consensus.refusals import RefusalKind
from noded.claiming import claim_page
from noded.config import Config
from noded.core.errors import Conflict, Invalid, Refused
from noded.core.ids import NodeId
from noded.host.unclaimed import BODY_BYTES_MAX, Unclaimed
from tests.scenarios.test_entering import free_port, fresh_address
from tests.twins.segment import Segment


@dataclass
class Node:
    """One unclaimed node with its page and its socket."""

    directory: Path
    seed: Seed | None = None
    membership: list[Membership] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.address = fresh_address()
        self.refusals = RefusalBook()
        self.port = free_port(self.address)
        identity = NodeIdentity.load_or_create(self.directory / "state")
        config = Config(state_dir=str(self.directory / "state"), https_port=self.port)
        entry = EntryConfig(
            seed=self.seed, name="[/]<b>", addresses=(self.address,), release="0.1.0", door_port=free_port(self.address)
        )
        self.entry = Entry(entry, identity, self.directory / "state", Segment().discovery(), self.refusals)
        self.socket, self.issue = self.directory / "peers.sock", self.directory / "issue"
        self.unclaimed = Unclaimed(config, self.entry, identity.node_id, self.address, self.socket, self.issue)

    async def live(self) -> None:
        self.membership.append(await self.unclaimed.enter())

    async def page(self, verb: str, path: str, **rest: Any) -> httpx.Response:
        base = f"https://{self.address}:{self.port}"
        async with httpx.AsyncClient(verify=False, base_url=base, timeout=20) as client:  # the node vouches for itself
            return await client.request(verb, path, **rest)

    async def ask(self, method: str, payload: bytes = b"") -> Any:
        call = partial(call_daemon, self.socket, NodeId("of this host"), method, payload, 10.0)
        return msgspec.msgpack.decode(await trio.to_thread.run_sync(call))


@asynccontextmanager
async def living(directory: Path, seed: Seed | None = None) -> AsyncIterator[Node]:
    node = Node(directory, seed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.live)
        with trio.fail_after(20):
            while not node.issue.exists() and seed is None:
                await trio.sleep(0.01)
            while not node.socket.exists():
                await trio.sleep(0.01)
        yield node
        nursery.cancel_scope.cancel()


async def test_the_code_stands_on_the_console_and_on_no_page(tmp_path: Path) -> None:
    async with living(tmp_path) as node:
        code = node.entry.claim_code
        assert code in node.issue.read_text()
        assert stat.S_IMODE(node.issue.stat().st_mode) == 0o600
        status = msgspec.convert(await node.ask("entry.status"), EntryStatus)
        assert status.claim_code == code
        for path in ("/", "/noded/v1/claim"):
            shown = await node.page("GET", path)
            assert shown.status_code == 200
            assert code not in shown.text
            assert "script-src" not in shown.headers["content-security-policy"]
        assert "<b>" not in (await node.page("GET", "/")).text.split("</title>")[1].split("<h1>")[1].split("</h1>")[0]


async def test_who_comes_first_to_the_page_can_change_nothing(tmp_path: Path) -> None:
    async with living(tmp_path) as node:
        for path in ("/create", "/agree"):
            answer = await node.page(
                "POST", path, data={"cluster": "mine", "claim_code": "BBBBB-BBBBB", "words": "a-b"}
            )
            assert answer.status_code == 403
        for path in ("", "/agree", "/join"):
            answer = await node.page("POST", f"/noded/v1/claim{path}", json={"cluster": "mine"})
            assert answer.status_code == 403
            assert "claim code" in answer.json()["error"]["what"]
        assert node.membership == []
        assert {line.kind for line in node.refusals.lines()} == {RefusalKind.WRONG_SECRET}


async def test_nonsense_is_refused(tmp_path: Path) -> None:
    async with living(tmp_path) as node:
        assert (await node.page("GET", "/dashboard")).status_code == 404
        assert (await node.page("DELETE", "/")).status_code == 404
        assert (await node.page("POST", "/noded/v1/claim", content=b"\xff{")).status_code == 400
        assert (await node.page("POST", "/noded/v1/claim", json={"cluster": 7})).status_code == 400
        assert (await node.page("POST", "/create", content=bytes(BODY_BYTES_MAX + 1))).status_code == 413
        code = node.entry.claim_code
        answer = await node.page("POST", "/noded/v1/claim", json={"cluster": " ", "claim_code": code})
        assert (answer.status_code, node.membership) == (400, [])


@pytest.mark.parametrize("way", ["form", "json", "console"])
async def test_with_the_code_or_as_root_a_cluster_is_created(tmp_path: Path, way: str) -> None:
    async with living(tmp_path) as node:
        fields = {"cluster": "town", "claim_code": node.entry.claim_code.lower().replace("-", " ")}
        if way == "console":
            assert (await node.ask("entry.create", b"town"))["cluster"] == "town"
        else:
            form = {"data": fields} if way == "form" else {"json": fields}
            answer = await node.page("POST", "/create" if way == "form" else "/noded/v1/claim", **form)
            assert answer.status_code == 200
            assert (tmp_path / "state" / "admin-password").read_text().strip() in answer.text
        with trio.fail_after(20):
            while not node.membership:
                await trio.sleep(0.01)
        assert (node.membership[0].cluster_name, node.membership[0].founder) == ("town", True)
        assert not node.issue.exists()


async def test_a_console_is_told_what_an_unclaimed_node_can_not_do(tmp_path: Path) -> None:
    async with living(tmp_path) as node:
        for method in ("inspection.status", "members.list", "no such call"):
            with pytest.raises(Conflict, match="belongs to no cluster"):
                await node.ask(method)
        with pytest.raises(Refused, match="shows the words"):
            await node.ask("doors.approve", msgspec.msgpack.encode(LetIn(node="", words="a-b")))
        with pytest.raises(Conflict, match="typed on a member"):
            await node.ask("doors.approve", msgspec.msgpack.encode(LetIn(node="x", claim_code="c")))
        with pytest.raises(Invalid, match="no join token"):
            await node.ask("entry.join", b"\xff\xfe")


async def test_a_node_with_a_seed_shows_no_code_and_cannot_be_claimed(tmp_path: Path) -> None:
    async with living(tmp_path, Seed(cluster="town", secret="s" * 16, expect=3)) as node:
        status = msgspec.convert(await node.ask("entry.status"), EntryStatus)
        assert (status.claim_code, status.seed_cluster, status.expect, status.sees) == ("", "town", 3, 1)
        with trio.fail_after(20):
            while (answer := await node.page("POST", "/noded/v1/claim", json={"claim_code": ""})).status_code != 409:
                await trio.sleep(0.01)
        assert "same seed" in answer.text
        assert not node.issue.exists()


def test_what_others_say_is_text_on_the_page() -> None:
    evil = '<script>alert("x")</script>'
    status = EntryStatus(
        node_id=NodeId("0" * 32),
        fingerprint="0" * 64,
        name=evil,
        addresses=("10.0.0.1",),
        release=evil,
        url="https://10.0.0.1/",
        claim_code="SECRET",
        seed_cluster="",
        expect=0,
        sees=0,
        offers=(
            Offered(
                cluster_id=evil,
                cluster_name=evil,
                member=NodeId("1" * 32),
                address=evil,
                words=evil,
                agreed=False,
                approved=True,
                misfit=evil,
            ),
        ),
        faults=(Fault(door=evil, by=evil, reason=evil, at_ms=0),),
    )
    page = claim_page(status, evil)
    assert "<script" not in page
    assert "SECRET" not in page
