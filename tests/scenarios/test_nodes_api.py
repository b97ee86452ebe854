"""`GET /noded/v1/nodes` through the gateway: for the administrator alone, and never with a secret in it."""

from consensus.members import SERVICE
from consensus.members.links import Electorate
from consensus.members.model import Node
from tests.scenarios.test_members import IDS, PollingStation, admission, founding
from tests.twins.cloud import IDENTITY_SERVICES, found_cloud


async def test_the_administrator_sees_every_node_and_nobody_else_sees_any() -> None:
    cloud = await found_cloud((*IDENTITY_SERVICES, SERVICE))
    cluster = cloud.shared.cluster("node1")
    await cluster.propose(founding(), admission(1))
    cloud.shared.drivers["node1"].add(Electorate, PollingStation({IDS[0]}))
    async with cloud.client() as client:
        answer = await client.get("/noded/v1/nodes", headers=await cloud.admin(client))
        assert answer.status_code == 200, answer.text
        shown = answer.json()["nodes"]
        assert [(node["id"], node["role"]) for node in shown] == [(IDS[0], "voter"), (IDS[1], "learner")]
        assert "PRIVATE" not in answer.text
        assert (await client.get("/noded/v1/nodes")).status_code == 401
        member = await cloud.token_with(client, "member")
        assert (await client.get("/noded/v1/nodes", headers=member)).status_code == 403
    assert cluster.view().count(Node) == 2
