"""`If-Match: revision_number=N` on changes of networks, subnets, ports and security groups, as Neutron takes it."""

import httpx
import pytest

from tests.api.test_networks import NETWORK_SERVICES
from tests.twins.cloud import IDENTITY_SERVICES, found_cloud

V2 = "/network/v2.0"


async def made(client: httpx.AsyncClient, collection: str, **fields: object) -> tuple[str, int]:
    noun = collection[:-1].replace("-", "_")
    answer = await client.post(f"{V2}/{collection}", json={noun: fields})
    assert answer.status_code == 201, answer.text
    return f"{V2}/{collection}/{answer.json()[noun]['id']}", answer.json()[noun]["revision_number"]


@pytest.mark.parametrize("collection", ["networks", "subnets", "ports", "security-groups"])
async def test_a_change_is_made_of_the_revision_that_was_read_and_of_no_other(collection: str) -> None:
    cloud = await found_cloud((*IDENTITY_SERVICES, *NETWORK_SERVICES))
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        network, _ = await made(client, "networks", name="n")
        fields: dict[str, object] = {"name": "x"}
        if collection in {"subnets", "ports"}:
            fields["network_id"] = network.rsplit("/", 1)[1]
        if collection == "subnets":
            fields |= {"ip_version": 4, "cidr": "10.0.0.0/24"}
        path, read = await made(client, collection, **fields)
        noun = collection[:-1].replace("-", "_")

        async def change(verb: str, condition: str) -> httpx.Response:
            body = {noun: {"name": "y"}} if verb == "PUT" else None
            return await client.request(verb, path, json=body, headers={"if-match": condition})

        changed = await change("PUT", f"revision_number={read}")
        assert (changed.status_code, changed.json()[noun]["revision_number"]) == (200, read + 1)
        for verb in ("PUT", "DELETE"):
            late = await change(verb, f"revision_number={read}")
            assert (late.status_code, late.json()["NeutronError"]["type"]) == (412, "RevisionNumberConstraintFailed")
            assert (await change(verb, '"an etag"')).status_code == 400
        assert (await change("DELETE", f"revision_number={read + 1}")).status_code == 204
