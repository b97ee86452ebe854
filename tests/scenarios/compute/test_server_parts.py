"""What is read and written through a server beside itself: metadata, tags, cards, groups, history, limits."""

import pytest

from tests.scenarios.compute.stage import open_stage


async def test_metadata_is_set_replaced_and_removed() -> None:
    async with open_stage() as stage:
        path = f"/servers/{await stage.create(metadata={'a': '1'})}/metadata"
        assert await stage.compute("GET", path, status=200) == {"metadata": {"a": "1"}}
        added = await stage.compute("POST", path, {"metadata": {"b": "2"}}, status=200)
        assert added == {"metadata": {"a": "1", "b": "2"}}
        assert await stage.compute("PUT", f"{path}/c", {"meta": {"c": "3"}}, status=200) == {"meta": {"c": "3"}}
        await stage.compute("PUT", f"{path}/c", {"meta": {"d": "3"}}, status=400)
        await stage.compute("DELETE", f"{path}/a", status=204)
        await stage.compute("DELETE", f"{path}/a", status=404)
        await stage.compute("GET", f"{path}/a", status=404)
        assert await stage.compute("PUT", path, {"metadata": {"z": "26"}}, status=200) == {"metadata": {"z": "26"}}
        await stage.compute("POST", path, {"metadata": {"": "x"}}, status=400)


async def test_tags_exist_from_their_microversion_on() -> None:
    async with open_stage() as stage:
        path = f"/servers/{await stage.create()}/tags"
        await stage.compute("GET", path, status=404)
        await stage.compute("PUT", f"{path}/red", status=201, version="2.26")
        await stage.compute("PUT", f"{path}/red", status=204, version="2.26")
        await stage.compute("GET", f"{path}/red", status=204, version="2.26")
        assert await stage.compute("PUT", path, {"tags": ["b", "a"]}, status=200, version="2.26") == {
            "tags": ["a", "b"]
        }
        found = await stage.compute("GET", "/servers?tags=a", status=200, version="2.26")
        assert len(found["servers"]) == 1
        assert (await stage.compute("GET", "/servers?not-tags=a", status=200, version="2.26"))["servers"] == []
        await stage.compute("DELETE", f"{path}/a", status=204, version="2.26")
        await stage.compute("DELETE", f"{path}/a", status=404, version="2.26")
        await stage.compute("DELETE", path, status=204, version="2.26")
        assert await stage.compute("GET", path, status=200, version="2.26") == {"tags": []}


async def test_cards_groups_and_history_are_told() -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        base = f"/servers/{server_id}"
        (card,) = (await stage.compute("GET", f"{base}/os-interface", status=200))["interfaceAttachments"]
        assert card["net_id"] == stage.network_id
        one = await stage.compute("GET", f"{base}/os-interface/{card['port_id']}", status=200)
        assert one == {"interfaceAttachment": card}
        ips = await stage.compute("GET", f"{base}/ips/net", status=200)
        assert ips == {"net": [{"addr": card["fixed_ips"][0]["ip_address"], "version": 4}]}
        await stage.compute("GET", f"{base}/ips/other", status=404)
        (group,) = (await stage.compute("GET", f"{base}/os-security-groups", status=200))["security_groups"]
        assert group["name"] == "default"
        assert await stage.compute("GET", f"{base}/os-volume_attachments", status=200) == {"volumeAttachments": []}
        await stage.act(server_id, "os-stop")
        actions = (await stage.compute("GET", f"{base}/os-instance-actions", status=200))["instanceActions"]
        assert [action["action"] for action in actions] == ["stop", "create"]
        request_id = actions[1]["request_id"]
        one = await stage.compute("GET", f"{base}/os-instance-actions/{request_id}", status=200)
        assert one["instanceAction"]["action"] == "create"


async def test_a_root_disk_that_is_a_volume_is_told_and_may_stay() -> None:
    async with open_stage() as stage:
        disk = {
            "boot_index": 0,
            "uuid": "11111111-2222-4333-8444-555555555555",
            "source_type": "image",
            "destination_type": "volume",
            "volume_size": 2,
            "delete_on_termination": False,
        }
        server_id = await stage.create(imageRef="", block_device_mapping_v2=[disk])
        await stage.settle()
        server = await stage.show(server_id, "2.3")
        (volume,) = server["os-extended-volumes:volumes_attached"]
        assert (server["image"], volume["delete_on_termination"]) == ("", False)
        await stage.compute("DELETE", f"/servers/{server_id}", status=204)
        await stage.settle()
        assert volume["id"] in stage.volume_ids()


async def test_limits_count_what_is_used() -> None:
    async with open_stage() as stage:
        await stage.create("a", min_count=2, max_count=2)
        limits = (await stage.compute("GET", "/limits", status=200))["limits"]["absolute"]
        assert (limits["totalInstancesUsed"], limits["totalRAMUsed"]) == (2, 256)
        assert "maxImageMeta" in limits
        newest = (await stage.compute("GET", "/limits", status=200, version="2.57"))["limits"]["absolute"]
        assert "maxImageMeta" not in newest
        assert "maxPersonality" not in newest


@pytest.mark.parametrize("limit", ["-1", "x", "²", "9" * 5000])
async def test_a_page_of_an_odd_size_is_refused(limit: str) -> None:
    async with open_stage() as stage:
        await stage.compute("GET", f"/servers?limit={limit}", status=400)
