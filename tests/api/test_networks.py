"""Neutron's API: by the unmodified `openstack` client, and request by request where clients are too polite."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from net import discovery, extensions, networks, ports, security_groups, tags
from tests.api.stores import openstack
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, api_certificate, found_cloud, serving

NETWORK_SERVICES = tuple(module.SERVICE for module in (discovery, extensions, networks, ports, security_groups, tags))
V2 = "/network/v2.0"


class Api:
    """A caller's requests: each gives the status and the body."""

    def __init__(self, client: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self._client = client
        self._headers = headers

    async def __call__(self, verb: str, path: str, body: object = None, **query: Any) -> tuple[int, Any]:
        answer = await self._client.request(verb, V2 + path, json=body, params=query, headers=self._headers)
        return answer.status_code, answer.json() if answer.content else None

    async def made(self, collection: str, **fields: object) -> dict[str, Any]:
        noun = collection[:-1].replace("-", "_")
        status, body = await self("POST", f"/{collection}", {noun: fields})
        assert status == 201, body
        return dict(body[noun])

    async def refused(self, verb: str, path: str, body: object = None, **query: Any) -> tuple[int, str]:
        status, answer = await self(verb, path, body, **query)
        return status, answer["NeutronError"]["type"]


@asynccontextmanager
async def callers() -> AsyncIterator[tuple[Cloud, Api, Api, Api]]:
    """A cloud; its administrator, a member of a project, and a reader of another one."""
    cloud = await found_cloud((*IDENTITY_SERVICES, *NETWORK_SERVICES))
    async with cloud.client() as client:
        yield (
            cloud,
            Api(client, await cloud.admin(client)),
            Api(client, await cloud.token_with(client, "member")),
            Api(client, await cloud.token_with(client, "reader")),
        )


async def test_the_openstack_client_makes_shows_and_deletes_networks(tmp_path: Path) -> None:
    cloud = await found_cloud((*IDENTITY_SERVICES, *NETWORK_SERVICES))
    context, ca = api_certificate(tmp_path)
    async with serving(cloud, context) as base:

        async def client(*words: str) -> Any:
            return json.loads(await openstack(base, ca, *words, "-f", "json"))

        made = await client("network", "create", "--tag", "blue", "--description", "ours", "red")
        assert (made["name"], made["status"], made["mtu"], made["tags"]) == ("red", "ACTIVE", 1450, ["blue"])
        words = ("--network", "red", "--subnet-range", "10.1.0.0/24", "--dns-nameserver", "9.9.9.9")
        subnet = await client("subnet", "create", *words, "red-4")
        assert (subnet["gateway_ip"], subnet["enable_dhcp"]) == ("10.1.0.1", True)
        assert subnet["allocation_pools"] == [{"start": "10.1.0.2", "end": "10.1.0.254"}]
        port = await client("port", "create", "--network", "red", "--fixed-ip", "ip-address=10.1.0.9", "card")
        assert (port["status"], port["fixed_ips"][0]["ip_address"]) == ("DOWN", "10.1.0.9")
        assert [each["Name"] for each in await client("port", "list", "--network", "red")] == ["card"]
        assert (await client("network", "show", "red"))["subnets"] == [subnet["id"]]
        assert [each["Name"] for each in await client("network", "list")] == ["red"]
        assert [each["Name"] for each in await client("subnet", "list")] == ["red-4"]
        rule = ("security", "group", "rule", "create", "--protocol", "tcp", "--dst-port", "22:23", "default")
        assert (await client(*rule))["port_range_max"] == 23
        assert "ports still in use" in await openstack(base, ca, "network", "delete", "red", ok=False)
        for words in (("port", "delete", "card"), ("network", "delete", "red")):
            await openstack(base, ca, *words)
        assert await client("network", "list") == []


async def test_the_openstack_client_changes_what_it_made(tmp_path: Path) -> None:
    cloud = await found_cloud((*IDENTITY_SERVICES, *NETWORK_SERVICES))
    context, ca = api_certificate(tmp_path)
    async with serving(cloud, context) as base:

        async def client(*words: str) -> Any:
            return json.loads(await openstack(base, ca, *words, "-f", "json"))

        await client("network", "create", "red")
        await client("subnet", "create", "--network", "red", "--subnet-range", "10.1.0.0/24", "red-4")
        await openstack(base, ca, "network", "set", "--name", "green", "--disable", "red")
        await openstack(base, ca, "subnet", "set", "--no-dhcp", "--gateway", "none", "red-4")
        shown = await client("network", "show", "green")
        assert shown["admin_state_up"] is False
        assert (await client("subnet", "show", "red-4"))["gateway_ip"] is None
        await client("port", "create", "--network", "green", "--no-security-group", "card")
        await openstack(base, ca, "port", "set", "--security-group", "default", "--name", "new", "card")
        assert len((await client("port", "show", "new"))["security_group_ids"]) == 1
        group = await client("security", "group", "create", "web")
        assert [each["direction"] for each in group["rules"]] == ["egress", "egress"]
        rule = await client("security", "group", "rule", "create", "--remote-group", "web", "--proto", "icmp", "web")
        assert rule["remote_group_id"] == group["id"]
        assert len(await client("security", "group", "rule", "list", "web")) == 3
        await openstack(base, ca, "security", "group", "rule", "delete", rule["id"])
        await openstack(base, ca, "security", "group", "delete", "web")
        assert {each["Alias"] for each in await client("extension", "list", "--network")} >= {"security-group"}


async def test_who_may_see_and_change_what() -> None:
    async with callers() as (_, admin, member, reader):
        mine = await member.made("networks", name="mine")
        await member.made("subnets", network_id=mine["id"], ip_version=4, cidr="10.0.0.0/24")
        assert "provider:segmentation_id" not in mine
        assert await reader.refused("GET", f"/networks/{mine['id']}") == (404, "NetworkNotFound")
        assert await reader.refused("POST", "/networks", {"network": {}}) == (403, "PolicyNotAuthorized")
        assert (await reader("GET", "/networks"))[1] == {"networks": []}
        status, body = await admin("GET", f"/networks/{mine['id']}")
        assert (status, body["network"]["provider:network_type"]) == (200, "vxlan")
        shared = {"network": {"shared": True}}
        assert (await member.refused("PUT", f"/networks/{mine['id']}", shared))[0] == 403
        assert (await member.refused("POST", "/networks", shared))[0] == 403
        assert (await admin("PUT", f"/networks/{mine['id']}", shared))[0] == 200
        assert len((await reader("GET", "/networks"))[1]["networks"]) == 1
        assert len((await reader("GET", "/subnets"))[1]["subnets"]) == 1
        other = {"network": {"project_id": mine["project_id"]}}
        assert (await admin("POST", "/networks", other))[0] == 201
        assert (await member("POST", "/networks", {"network": {"project_id": "0" * 32}}))[0] == 403


async def test_addresses_are_given_checked_and_exhausted() -> None:
    async with callers() as (_, _, member, _):
        net = await member.made("networks")
        pool = [{"start": "10.0.0.10", "end": "10.0.0.11"}]
        await member.made("subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24", allocation_pools=pool)
        first = await member.made("ports", network_id=net["id"])
        assert first["fixed_ips"][0]["ip_address"] == "10.0.0.10"

        async def asked(ip_address: str) -> tuple[int, str]:
            body = {"port": {"network_id": net["id"], "fixed_ips": [{"ip_address": ip_address}]}}
            return await member.refused("POST", "/ports", body)

        assert await asked("10.0.0.10") == (409, "IpAddressAlreadyAllocated")
        assert await asked("10.9.0.1") == (400, "InvalidIpForNetwork")
        assert await asked("::1") == (400, "HTTPBadRequest")
        await member.made("ports", network_id=net["id"])
        full = {"port": {"network_id": net["id"]}}
        assert await member.refused("POST", "/ports", full) == (409, "IpAddressGenerationFailure")
        assert await member.refused("DELETE", f"/networks/{net['id']}") == (409, "NetworkInUse")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cidr": "10.0.0.0"}, "HTTPBadRequest"),
        ({"cidr": "10.0.0.0/33"}, "HTTPBadRequest"),
        ({"ip_version": 6, "cidr": "fd00::/64"}, "HTTPBadRequest"),
        ({"gateway_ip": "10.1.0.1"}, "InvalidInput"),
        (
            {"gateway_ip": "10.0.0.5", "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.9"}]},
            "GatewayConflictWithAllocationPools",
        ),
        ({"allocation_pools": [{"start": "10.0.0.2", "end": "10.0.1.9"}]}, "OutOfBoundsAllocationPool"),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.2"}]}, "InvalidAllocationPool"),
        ({"dns_nameservers": ["dns.example.org"]}, "HTTPBadRequest"),
        ({"host_routes": [{"destination": "10.0.0.0", "nexthop": "10.0.0.1"}]}, "HTTPBadRequest"),
        ({"name": "n" * 256}, "HTTPBadRequest"),
        ({"unheard_of": 1}, "HTTPBadRequest"),
        ({"cidr": "169.254.0.0/16"}, "InvalidInput"),
    ],
)
async def test_a_subnet_that_makes_no_sense_is_refused(change: dict[str, object], code: str) -> None:
    async with callers() as (_, _, member, _):
        net = await member.made("networks")
        body = {"subnet": {"network_id": net["id"], "ip_version": 4, "cidr": "10.0.0.0/24", **change}}
        status, answer = await member("POST", "/subnets", body)
        conflict = code == "GatewayConflictWithAllocationPools"
        assert (status, answer["NeutronError"]["type"]) == (409 if conflict else 400, code)
        assert (await member("GET", "/subnets"))[1] == {"subnets": []}


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"direction": "sideways"}, "HTTPBadRequest"),
        ({"ethertype": "IPv5"}, "HTTPBadRequest"),
        ({"protocol": "carrier-pigeon"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": 256}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": "9" * 5000}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": "icmpv6"}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"port_range_min": 1, "port_range_max": 2}, "SecurityGroupProtocolRequiredWithPorts"),
        ({"protocol": "tcp", "port_range_min": 2, "port_range_max": 1}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 1}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "tcp", "port_range_min": "x", "port_range_max": 1}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "icmp", "port_range_max": 1}, "SecurityGroupMissingIcmpType"),
        ({"protocol": "icmp", "port_range_min": 256}, "SecurityGroupInvalidIcmpValue"),
        ({"remote_ip_prefix": "10.0.0.0/40"}, "HTTPBadRequest"),
        ({"remote_ip_prefix": "fd00::/64"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_group_id": "nobody"}, "SecurityGroupNotFound"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, object], code: str) -> None:
    async with callers() as (_, _, member, _):
        group = await member.made("security-groups", name="web")
        body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", **rule}}
        status = 404 if code.endswith("NotFound") else 400
        assert await member.refused("POST", "/security-group-rules", body) == (status, code)


async def test_the_default_group_is_there_cannot_go_and_is_nobody_elses() -> None:
    async with callers() as (_, admin, member, reader):
        (default,) = (await member("GET", "/security-groups"))[1]["security_groups"]
        assert (default["name"], len(default["security_group_rules"])) == ("default", 4)
        place = f"/security-groups/{default['id']}"
        assert await member.refused("DELETE", place) == (409, "SecurityGroupCannotRemoveDefault")
        renamed = {"security_group": {"name": "x"}}
        assert await member.refused("PUT", place, renamed) == (409, "SecurityGroupCannotUpdateDefault")
        assert await reader.refused("GET", place) == (404, "SecurityGroupNotFound")
        again = {"security_group": {"name": "default"}}
        assert await member.refused("POST", "/security-groups", again) == (409, "SecurityGroupDefaultAlreadyExists")
        rule = {"security_group_id": default["id"], "direction": "ingress", "protocol": "tcp"}
        await member.made("security-group-rules", **rule)
        body = {"security_group_rule": rule}
        assert await member.refused("POST", "/security-group-rules", body) == (409, "SecurityGroupRuleExists")
        assert len((await admin("GET", "/security-groups", name="default"))[1]["security_groups"]) == 2
        assert await admin("DELETE", place) == (204, None), "who clears up after a project"


async def test_lists_are_filtered_sorted_cut_and_linked() -> None:
    async with callers() as (_, _, member, _):
        status, body = await member("POST", "/networks", {"networks": [{"name": name} for name in "cab"]})
        assert (status, len(body["networks"])) == (201, 3)
        by_name = await member("GET", "/networks", sort_key="name", sort_dir="desc", fields="name")
        assert by_name[1]["networks"] == [{"name": "c"}, {"name": "b"}, {"name": "a"}]
        assert len((await member("GET", "/networks", name=["a", "b"]))[1]["networks"]) == 2
        assert (await member("GET", "/networks", admin_state_up="False"))[1]["networks"] == []
        assert await member.refused("GET", "/networks", colour="red") == (400, "HTTPBadRequest")
        for limit in ("-1", "9" * 5000):
            assert await member.refused("GET", "/networks", limit=limit) == (400, "HTTPBadRequest")
        assert (await member.refused("GET", "/networks", marker="nobody"))[0] == 404
        _, page = await member("GET", "/networks", sort_key="name", limit="2")
        assert [each["name"] for each in page["networks"]] == ["a", "b"]
        (link,) = page["networks_links"]
        assert link["rel"] == "next"
        query = dict(httpx.URL(link["href"]).params)
        _, rest = await member("GET", "/networks", **query)
        assert [each["name"] for each in rest["networks"]] == ["c"]
        assert [each["rel"] for each in rest["networks_links"]] == ["previous"]


async def test_ports_are_found_by_address_device_and_group() -> None:
    async with callers() as (_, _, member, _):
        net = await member.made("networks")
        subnet = await member.made("subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
        port = await member.made("ports", network_id=net["id"], device_id="a-device", name="one")
        await member.made("ports", network_id=net["id"], name="two", security_groups=[])

        async def found(**query: str | list[str]) -> list[str]:
            status, body = await member("GET", "/ports", **query)
            assert status == 200, body
            return sorted(each["name"] for each in body["ports"])

        assert await found(fixed_ips="ip_address=10.0.0.2") == ["one"]
        assert await found(fixed_ips=[f"subnet_id={subnet['id']}", "ip_address=10.0.0.3"]) == ["two"]
        assert await found(fixed_ips="ip_address_substr=10.0.0") == ["one", "two"]
        assert await found(device_id="a-device") == ["one"]
        assert await found(security_groups=port["security_groups"][0]) == ["one"]
        assert await found(mac_address=port["mac_address"]) == ["one"]
        assert await found(status="DOWN", network_id=net["id"]) == ["one", "two"]


async def test_what_is_not_built_is_refused_rather_than_pretended() -> None:
    async with callers() as (_, admin, member, _):
        external = {"network": {"router:external": True}}
        assert await admin.refused("POST", "/networks", external) == (400, "HTTPBadRequest")
        assert await member.refused("GET", "/routers") == (404, "HTTPNotFound")
        assert await member.refused("GET", "/extensions/router") == (404, "ExtensionsNotFound")
        net = await member.made("networks")
        direct = {"port": {"network_id": net["id"], "binding:vnic_type": "direct"}}
        assert await member.refused("POST", "/ports", direct) == (400, "HTTPBadRequest")


async def test_several_are_made_together_or_not_at_all() -> None:
    async with callers() as (_, _, member, _):
        net = await member.made("networks")
        pool = [{"start": "10.0.0.10", "end": "10.0.0.11"}]
        await member.made("subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24", allocation_pools=pool)
        three = {"ports": [{"network_id": net["id"]} for _ in range(3)]}
        assert await member.refused("POST", "/ports", three) == (409, "IpAddressGenerationFailure")
        assert (await member("GET", "/ports"))[1] == {"ports": []}


async def test_tags_are_set_one_by_one_and_all_at_once() -> None:
    async with callers() as (_, _, member, reader):
        net = await member.made("networks")
        place = f"/networks/{net['id']}/tags"
        assert await member("PUT", place, {"tags": ["b", "a"]}) == (200, {"tags": ["a", "b"]})
        assert await member("PUT", f"{place}/c") == (201, None)
        assert await member("GET", f"{place}/c") == (204, None)
        assert await member("DELETE", f"{place}/a") == (204, None)
        assert await member.refused("DELETE", f"{place}/a") == (404, "TagNotFound")
        assert len((await member("GET", "/networks", tags="b,c"))[1]["networks"]) == 1
        assert (await member("GET", "/networks", **{"not-tags-any": "b"}))[1]["networks"] == []
        assert await reader.refused("GET", place) == (404, "TagResourceNotFound")
        assert await member("DELETE", place) == (204, None)
        assert await member("GET", place) == (200, {"tags": []})


async def test_the_versions_can_be_read_by_anyone_and_lead_to_the_api() -> None:
    async with callers() as (cloud, _, member, _), cloud.client() as client:
        answer = await client.get("/network/")
        assert answer.status_code == 200
        (version,) = answer.json()["versions"]
        assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
        assert version["links"][0]["href"].endswith("/network/v2.0/")
        _, body = await member("GET", "/")
        assert {each["name"] for each in body["resources"]} >= {"network", "subnet", "port"}
