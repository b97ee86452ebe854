"""The nodes' and the cluster's pages as a browser gets them, on a node with a majority and on one without."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from consensus import certificates, disks, doors, levels, liveness, members, recovery
from consensus.doors.links import Porch, Refusals
from consensus.doors.model import JoinRequest, JoinToken, LetIn, TokenState, Unclaimed, Waiting
from consensus.liveness.links import Watch
from consensus.members.links import Dependants, Electorate, Exit
from consensus.members.model import GoneNode, Node
from consensus.refusals import Refusal, RefusalKind
from noded import dashboard, inspection
from noded.core.errors import NotFound
from noded.core.ids import NodeId
from noded.core.origin import Origin
from noded.dashboard.links import LocalApi
from noded.gateway.local import InProcessApi
from noded.inspection.links import Registry, VitalsReader
from noded.inspection.model import Space, StoreDigest, Vitals
from tests.scenarios.test_members import IDS, PollingStation, admission, founding
from tests.scenarios.test_nodes_api import Burdened
from tests.twins.cloud import ADMIN_PASSWORD, IDENTITY_SERVICES, Cloud, found_cloud

A, B, C = IDS[:3]
STRANGER = NodeId("f" * 32)
SERVICES = (
    *IDENTITY_SERVICES,
    *(
        module.SERVICE
        for module in (members, certificates, liveness, levels, disks, doors, recovery, inspection, dashboard)
    ),
)
SPACE = Space(total_bytes=8 << 30, used_bytes=1 << 30)
OTHER_FORM = {"origin": "https://evil.test"}


class Hall:
    """Implements `Porch`, `Refusals`, `VitalsReader` and `Registry`: a node at whose door one waits."""

    services = SERVICES

    def __init__(self) -> None:
        self.approved: list[tuple[NodeId, str]] = []
        self.turned_away: list[NodeId] = []
        self.claimed: list[LetIn] = []

    def waiting(self) -> Waiting:
        facts = {"node_id": STRANGER, "fingerprint": "f" * 64, "addresses": ("10.0.0.9",), "release": "1"}
        request = JoinRequest(**facts, name="[/]<new>", words="one-two-three", waits_at=A, since_ms=1)  # type: ignore[arg-type]
        unclaimed = Unclaimed(**facts | {"node_id": NodeId("e" * 32)}, name="fresh", cluster="")  # type: ignore[arg-type]
        return Waiting(requests=(request,), unclaimed=(unclaimed,))

    def approve(self, node_id: NodeId, words: str, origin: Origin | None) -> None:
        assert origin is not None
        assert (origin.name, origin.address) == ("admin", "10.77.0.9"), "who said yes, and from where"
        self.approved.append((node_id, words))

    def turn_away(self, node_id: NodeId) -> None:
        self.turned_away.append(node_id)

    async def claim(self, order: LetIn) -> NodeId:
        if order.claim_code != "right":
            raise NotFound("Nobody has that claim code.")
        self.claimed.append(order)
        return NodeId(order.node)

    def note(self, kind: RefusalKind, port: int, address: str, detail: str = "", count: int = 1) -> None:
        raise AssertionError("pages only look")

    def lines(self) -> list[Refusal]:
        line = Refusal(
            port=7402, kind=RefusalKind.WRONG_SECRET, address="10.9.9.9", count=3, first_at_ms=1, last_at_ms=2
        )
        return [line]

    def read(self) -> Vitals:
        return Vitals(cpus=4, cpu_percent=1.0, load_1min=0.1, memory=SPACE, disks={"/d": SPACE}, uptime_s=1.0)

    def digest(self) -> StoreDigest:
        raise AssertionError("no page shows it")


class Scene:
    """Three voters, each with a gateway; pages are asked of the first."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.halls: dict[str, Hall] = {}
        self.burden = Burdened()
        for node_id, drivers in cloud.shared.drivers.items():
            hall = self.halls[node_id] = Hall()
            station = PollingStation({A, B, C})
            drivers.add(LocalApi, InProcessApi(cloud.gateways[node_id]))
            drivers.add(Electorate, station)
            drivers.add(Exit, station)
            drivers.add(Dependants, self.burden)
            for protocol in (Porch, Refusals, VitalsReader, Registry):
                drivers.add(protocol, hall)

    @asynccontextmanager
    async def signed_in(self, node: NodeId = A) -> AsyncIterator[httpx.AsyncClient]:
        async with self.cloud.client(node) as browser:
            form = {"user": "admin", "password": ADMIN_PASSWORD}
            assert (await browser.post("/sign-in", data=form)).status_code == 303
            yield browser

    def node(self, node_id: NodeId) -> Node:
        return self.cloud.shared.machine.picture.need(Node, node_id)

    def tokens(self) -> list[JoinToken]:
        return self.cloud.shared.machine.picture.all(JoinToken)


@pytest.fixture
async def scene() -> Scene:
    cloud = await found_cloud(SERVICES, (A, B, C))
    await cloud.shared.cluster(A).propose(founding(), admission(1), admission(2))
    return Scene(cloud)


async def said(browser: httpx.AsyncClient, path: str) -> str:
    answer = await browser.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


async def told(browser: httpx.AsyncClient, path: str, **form: str) -> str:
    """What the page says to which a form leads."""
    answer = await browser.post(path, data=form)
    assert answer.status_code == 303, answer.text
    return await said(browser, answer.headers["location"])


async def test_the_nodes_page_says_how_each_node_is_and_who_does_not_reach_it(scene: Scene) -> None:
    scene.cloud.shared.up = {A, B}
    async with scene.signed_in() as browser:
        page = await said(browser, "/nodes")
        line = page.split('data-node="n2"')[1].split("</tr>")[0]
        assert ">down</span>" in line
        assert "n0, n1 can't reach it" in line
        assert "n2 can&#39;t vote: if one more of n0, n1 is lost" in page
        up = page.split('data-node="n0"')[1].split("</tr>")[0]
        assert "leader" in up
        assert f'href="/nodes/{A}"' in up
        assert "disabled" not in page


async def test_a_node_is_drained_undrained_renamed_and_labelled_by_forms(scene: Scene) -> None:
    async with scene.signed_in() as browser:
        page = f"/nodes/{B}"
        assert "draining" in await told(browser, f"{page}/drain")
        assert scene.node(B).draining
        assert "takes part again" in await told(browser, f"{page}/undrain")
        assert not scene.node(B).draining
        assert "&lt;b&gt; has its new name" in await told(browser, f"{page}/rename", name="<b>")
        assert "is already called n2" in await told(browser, f"{page}/rename", name="n2")
        await told(browser, f"{page}/label", labels="zone=a rack=7", before="")
        assert scene.node(B).labels == {"zone": "a", "rack": "7"}
        await told(browser, f"{page}/label", labels="zone=b", before="zone=a rack=7")
        assert scene.node(B).labels == {"zone": "b"}
        assert "nothing was changed" in await told(browser, f"{page}/label", labels="zone", before="zone=b")
        assert scene.node(B).labels == {"zone": "b"}
        assert 'value="zone=b"' in await said(browser, page)
        assert (await browser.get("/nodes/nobody")).status_code == 404
        assert (await browser.post(f"{page}/explode")).status_code == 404


async def test_what_a_removal_does_is_shown_first_and_done_only_when_told(scene: Scene) -> None:
    scene.cloud.shared.up = {A, B}
    scene.burden.losses = ("volume [/] v: its last replica",)
    async with scene.signed_in() as browser:
        plan = await said(browser, f"/nodes/{C}/forget")
        assert "server [/] web: moves to n1" in plan
        assert "volume [/] v: its last replica" in plan
        assert "n2" in [node.name for node in scene.cloud.shared.machine.picture.all(Node)]
        refused = await browser.post(f"/nodes/{C}/forget")
        assert refused.status_code == 200
        assert "Node n2 stays" in refused.text
        assert "n2 is no member any more" in await told(browser, f"/nodes/{C}/forget", force="yes")
        assert scene.cloud.shared.machine.picture.get(Node, C) is None
        assert "forgotten" in (await said(browser, "/nodes")).split("Former nodes")[1]
        assert scene.cloud.shared.machine.picture.get(GoneNode, C) is not None
        assert (await browser.get(f"/nodes/{B}/drain")).status_code == 404


async def test_the_cluster_page_shows_voters_levels_refusals_and_who_waits(scene: Scene) -> None:
    async with scene.signed_in() as browser:
        page = await said(browser, "/cluster")
        votes = "n0, n1, n2 vote: 1 of them may fail."
        for words in (votes, "wrong secret", "10.9.9.9", "one-two-three", "[/]&lt;new&gt;"):
            assert words in page, words
        assert "no answer" not in page
        part = await browser.get("/cluster", params={"part": ""})
        assert "<html" not in part.text


async def test_a_token_is_shown_once_and_revoked(scene: Scene) -> None:
    async with scene.signed_in() as browser:
        made = await browser.post("/cluster/tokens", data={"uses": "2", "ttl": "30m"})
        [token] = scene.tokens()
        text = made.text.split('<pre class="secret">')[1].split("</pre>")[0]
        assert len(text) > 60
        assert (token.uses, token.expires_at_ms - token.created_at_ms) == (2, 1_800_000)
        page = await said(browser, "/cluster")
        assert text not in page
        assert token.id in page
        await told(browser, f"/cluster/tokens/{token.id}/revoke")
        assert scene.tokens()[0].state_at(token.created_at_ms) is TokenState.REVOKED
        for wrong in ({"uses": "x"}, {"ttl": "soon"}, {"uses": "0"}):
            refused = await browser.post("/cluster/tokens", data=wrong)
            assert "fault" in refused.text
            assert 'class="secret"' not in refused.text
        assert len(scene.tokens()) == 1


async def test_the_authority_is_shown_and_rotated(scene: Scene) -> None:
    async with scene.signed_in() as browser:
        page = await said(browser, "/cluster")
        assert "Rotation" not in page
        assert "goes on by itself" in await told(browser, "/cluster/rotate")
        assert "waits for n0, n1, n2" in await said(browser, "/cluster")
        assert "PRIVATE" not in await said(browser, "/cluster")


async def test_a_node_that_waits_is_approved_by_its_words_claimed_by_its_code_or_turned_away(scene: Scene) -> None:
    async with scene.signed_in() as browser:
        place = f"/cluster/waiting/{STRANGER}"
        assert "Approved." in await told(browser, f"{place}/approve", words="one-two-three")
        assert scene.halls[A].approved == [(STRANGER, "one-two-three")]
        await told(browser, f"{place}/turn-away")
        assert scene.halls[A].turned_away == [STRANGER]
        assert "Nobody has that claim code." in await told(browser, f"{place}/claim", claim_code="wrong")
        assert "was claimed" in await told(browser, f"{place}/claim", claim_code=" right ")
        assert [order.claim_code for order in scene.halls[A].claimed] == ["right"]
        assert (await browser.post(f"{place}/marry")).status_code == 404


async def test_a_node_that_is_cut_off_says_so_on_every_page_and_its_forms_are_off(scene: Scene) -> None:
    async with scene.signed_in(C) as browser:
        before = await said(browser, "/nodes")
        assert "cut-off" not in before
        scene.cloud.shared.alone = {C}
        for path in ("/", "/nodes", f"/nodes/{C}", "/cluster"):
            page = await said(browser, path)
            assert f"This node sees 1 of 3 voting nodes: {A} can't be reached" in page
            assert "as of revision" in page
            assert 'id="cut-off"' in (await browser.get(path, params={"part": ""})).text
        node_page = await said(browser, f"/nodes/{C}")
        assert node_page.count("<button disabled title=") == 3
        assert "nothing can be changed from here" in node_page
        assert "sees only 1 of 3" in await told(browser, f"/nodes/{C}/drain")
        out = await browser.post("/sign-out")
        assert out.headers["location"] == "/sign-in?lasts"
        assert "could not be" in await said(browser, "/sign-in?lasts")
        assert (await browser.get("/nodes")).status_code == 303
    async with scene.signed_in(C) as again:
        assert 'id="cut-off"' in await said(again, "/nodes")
        scene.cloud.shared.alone = set()
        assert 'id="cut-off"' not in await said(again, "/nodes")


@pytest.mark.parametrize(
    "path", [f"/nodes/{B}/drain", f"/nodes/{B}/forget", "/cluster/tokens", f"/cluster/waiting/{STRANGER}/approve"]
)
async def test_forms_of_other_sites_and_of_lesser_roles_change_nothing(scene: Scene, path: str) -> None:
    before = scene.cloud.shared.machine.picture.revision
    async with scene.signed_in() as browser, scene.cloud.client(A) as other:
        before = scene.cloud.shared.machine.picture.revision
        assert (await browser.post(path, headers=OTHER_FORM)).status_code == 403
        assert scene.cloud.shared.machine.picture.revision == before
        member = await scene.cloud.token_with(other, "member")
        other.cookies.set("noded_session", member["X-Auth-Token"])
        before = scene.cloud.shared.machine.picture.revision
        assert (await other.post(path)).status_code == 403
        assert scene.cloud.shared.machine.picture.revision == before
    assert scene.halls[A].approved == []
    assert scene.cloud.shared.drivers[A].get(Watch).outlook().has_majority
