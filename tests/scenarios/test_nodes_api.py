"""Noded's routes for nodes through the gateway: for the administrator alone, and never with a secret in an answer."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
import trio

from consensus.members import SERVICE
from consensus.members.authority import Asked, Desk
from consensus.members.links import Dependants, Electorate, Exit
from consensus.members.model import GoneNode, Node
from noded.core.departure import Departure, Hold, Leaver
from noded.core.ids import NodeId, RequestId
from noded.core.origin import of_console
from noded.core.service import PeerContext
from noded.core.store import View
from tests.scenarios.test_members import IDS, PollingStation, admission, founding, town
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, found_cloud


class Burdened:
    """A twin of what services say: everything that goes takes this along."""

    def __init__(self) -> None:
        self.losses: tuple[str, ...] = ()

    def departure(self, view: View, leaver: Leaver) -> Departure:
        hold = Hold(noun="server", id="s1", name="[/] web", fate="moves to n1")
        return Departure(holds=(hold,), losses=() if leaver.forced else self.losses)


class Scene:
    """Three nodes, of which two answer."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.station = PollingStation({IDS[0]})
        self.burden = Burdened()
        drivers = cloud.shared.drivers["node1"]
        drivers.add(Electorate, self.station)
        drivers.add(Dependants, self.burden)
        drivers.add(Exit, self.station)

    async def post(self, client: httpx.AsyncClient, path: str, body: Any = None) -> httpx.Response:
        answer = await client.post(f"/noded/v1/nodes/{path}", headers=await self.cloud.admin(client), json=body or {})
        assert "PRIVATE" not in answer.text
        return answer

    def nodes(self) -> Iterable[str]:
        return [node.name for node in self.cloud.shared.cluster("node1").view().all(Node)]


@pytest.fixture
async def scene() -> Scene:
    cloud = await found_cloud((*IDENTITY_SERVICES, SERVICE))
    await cloud.shared.cluster("node1").propose(founding(), admission(1), admission(2))
    return Scene(cloud)


async def test_the_administrator_sees_every_node_and_nobody_else_sees_any(scene: Scene) -> None:
    async with scene.cloud.client() as client:
        answer = await client.get("/noded/v1/nodes", headers=await scene.cloud.admin(client))
        assert answer.status_code == 200, answer.text
        shown = answer.json()["nodes"]
        assert [(node["id"], node["role"]) for node in shown[:2]] == [(IDS[0], "voter"), (IDS[1], "learner")]
        assert "PRIVATE" not in answer.text
        assert (await client.get("/noded/v1/nodes")).status_code == 401
        member = await scene.cloud.token_with(client, "member")
        for verb, path in (("GET", ""), ("GET", "/n1"), ("POST", "/n1/drain"), ("POST", "/n1/forget")):
            assert (await client.request(verb, f"/noded/v1/nodes{path}", headers=member)).status_code == 403
    assert scene.cloud.shared.cluster("node1").view().count(Node) == 3


async def test_a_node_is_drained_named_and_labelled_by_name_and_by_id(scene: Scene) -> None:
    async with scene.cloud.client() as client:
        drained = (await scene.post(client, "n1/drain")).json()
        assert (drained["node"]["standing"], drained["holds"][0]["name"]) == ("draining", "[/] web")
        assert (await scene.post(client, f"{IDS[1]}/undrain")).json()["node"]["standing"] == "in_use"
        assert (await scene.post(client, "n1/rename", {"name": "cellar"})).json()["node"]["name"] == "cellar"
        assert (await scene.post(client, "n2/rename", {"name": "cellar"})).status_code == 409
        labelled = (await scene.post(client, "cellar/label", {"labels": {"zone": "b"}})).json()
        assert labelled["node"]["labels"] == {"zone": "b"}
        assert (await scene.post(client, "cellar/label", {"labels": {"zone": 7}})).status_code == 400
        assert (await scene.post(client, "nobody/drain")).status_code == 404


async def test_the_beginning_of_an_id_names_a_node_if_no_other_one_begins_so(scene: Scene) -> None:
    node_id = NodeId("f" * 32)
    other = admission(1, node_id=node_id, fingerprint="f" * 64, name="[/]")
    await scene.cloud.shared.cluster("node1").propose(other)
    async with scene.cloud.client() as client:
        assert (await scene.post(client, "ffffffff/drain")).json()["node"]["name"] == "[/]"
        for short in ("fffffff", IDS[1][:12]):
            assert (await scene.post(client, f"{short}/drain")).status_code == 404


async def test_forgetting_is_planned_refused_and_done(scene: Scene) -> None:
    async with scene.cloud.client() as client:
        planned = (await scene.post(client, "n1/forget", {"plan": True})).json()
        assert planned["refused"] == []
        assert "server [/] web: moves to n1" in planned["steps"]
        assert len(list(scene.nodes())) == 3
        scene.burden.losses = ("the last copy of a volume",)
        refused = await scene.post(client, "n1/forget")
        assert refused.status_code == 409
        assert "the last copy of a volume (`--force` accepts that)" in refused.text
        assert (await scene.post(client, "n1/forget", {"force": True})).status_code == 200
        listed = (await client.get("/noded/v1/nodes", headers=await scene.cloud.admin(client))).json()
    assert [(gone["name"], gone["how"]) for gone in listed["former"]] == [("n1", "forgotten")]
    assert list(scene.nodes()) == ["n0", "n2"]
    assert scene.cloud.shared.cluster("node1").view().need(GoneNode, IDS[1]).left is False


async def test_a_node_that_does_not_answer_can_not_leave(scene: Scene) -> None:
    async with scene.cloud.client() as client:
        refused = await scene.post(client, "n2/leave")
        assert refused.status_code == 409
        assert "does not answer: `noded node forget n2`" in refused.text


async def test_a_leave_that_is_cut_off_is_taken_back() -> None:
    """The twin of the log's voters keeps all votes, so the node stays marked until the call is cancelled."""
    shared, station = await town(3), PollingStation(set(IDS[:3]))
    cluster = shared.cluster(IDS[0])
    desk = Desk(cluster, station, Burdened(), station)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(desk.leave, "n1", forced=False, plan=False))
        with trio.fail_after(30):
            while not cluster.view().need(Node, IDS[1]).leaving:
                await trio.lowlevel.checkpoint()
        assert "Leaving" in str((await desk.listing())["hints"])
        nursery.cancel_scope.cancel()
    after = cluster.view().need(Node, IDS[1])
    assert (after.leaving, after.draining) == (False, False)
    assert "Leaving" not in str((await desk.listing())["hints"])


async def test_who_made_a_node_leave_at_its_console_is_told_to_the_one_that_does_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Asked] = []

    async def leave_from(_desk: Desk, order: Asked) -> dict[str, object]:
        asked.append(order)
        await trio.lowlevel.checkpoint()
        return {}

    monkeypatch.setattr("consensus.members.authority.leave_from", leave_from)
    shared = scene.cloud.shared
    root = of_console(NodeId("node1"), RequestId("req-1"), 5)
    context = PeerContext(cluster=shared.cluster("node1").acting_for(root), drivers=shared.drivers["node1"])
    await SERVICE.local_calls["members.leave"](context, msgspec.msgpack.encode({"node": None}))
    assert asked[0].origin is not None
    assert (asked[0].origin.who, asked[0].origin.request_id) == (root.who, "req-1")
