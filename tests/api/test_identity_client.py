"""Identity by the unmodified `openstack` client."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.stores import openstack
from tests.twins.cloud import api_certificate, found_cloud, serving


async def test_tokens_projects_users_and_roles_are_kept_with_the_client(tmp_path: Path) -> None:
    cloud = await found_cloud()
    context, ca = api_certificate(tmp_path)
    async with serving(cloud, context) as base:

        async def client(*words: str) -> Any:
            return json.loads(await openstack(base, ca, *words, "-f", "json"))

        async def order(*words: str) -> None:
            assert await openstack(base, ca, *words) == ""

        assert (await client("token", "issue"))["project_id"] == cloud.admin_project_id
        catalog = await client("catalog", "list")
        assert [endpoint["url"] for endpoint in catalog[0]["Endpoints"]] == [f"{base}/identity/v3"] * 3
        project = await client("project", "create", "lab", "--description", "ours", "--property", "color=blue")
        assert (project["description"], project["color"], project["enabled"]) == ("ours", "blue", True)
        assert {each["Name"] for each in await client("project", "list")} == {"admin", "lab"}
        assert (await client("project", "show", "lab"))["id"] == project["id"]
        user = await client("user", "create", "--password", "pw", "--email", "a@b.c", "--project", "lab", "ann")
        assert (user["email"], user["default_project_id"]) == ("a@b.c", project["id"])
        await order("role", "add", "--user", "ann", "--project", "lab", "member")
        held = await client("role", "assignment", "list", "--names", "--project", "lab")
        assert [(each["Role"], each["User"]) for each in held] == [("member", "ann@Default")]
        await order("role", "remove", "--user", "ann", "--project", "lab", "member")
        await order("user", "delete", "ann")
        await order("project", "delete", "lab")
        assert "No Project found" in await openstack(base, ca, "project", "show", "lab", ok=False)


@pytest.mark.parametrize("words", [("endpoint", "list"), ("service", "list"), ("region", "list"), ("domain", "list")])
async def test_what_there_is_can_be_listed_with_the_client(tmp_path: Path, words: tuple[str, ...]) -> None:
    context, ca = api_certificate(tmp_path)
    async with serving(await found_cloud(), context) as base:
        assert json.loads(await openstack(base, ca, *words, "-f", "json"))
