"""Metadata definitions as their clients see them: Glance's words and numbers, and the `openstack` command."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from noded.services import SERVICES
from tests.api.stores import openstack
from tests.twins.cloud import ADMIN_PASSWORD, Cloud, api_certificate, found_cloud, serving, sign_in_body

METADEFS = "/image/v2/metadefs"
NAMESPACES = METADEFS + "/namespaces"
SIZE = {"title": "Size", "type": "integer", "minimum": 1, "default": 2, "readonly": False}


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud(SERVICES)


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        yield client


async def ask(client: httpx.AsyncClient, verb: str, path: str, body: object = None, status: int = 200) -> Any:
    answer = await client.request(verb, NAMESPACES + path, json=body)
    assert answer.status_code == status, (path, answer.status_code, answer.text)
    return answer.json() if answer.content else None


async def stranger(cloud: Cloud, client: httpx.AsyncClient) -> dict[str, str]:
    """The headers of a member of another project."""
    v3 = "/identity/v3"
    project = (await client.post(f"{v3}/projects", json={"project": {"name": "p"}})).json()["project"]["id"]
    new = {"user": {"name": "u", "password": ADMIN_PASSWORD}}
    user = (await client.post(f"{v3}/users", json=new)).json()["user"]["id"]
    roles = {role["name"]: role["id"] for role in (await client.get(f"{v3}/roles")).json()["roles"]}
    await client.put(f"{v3}/projects/{project}/users/{user}/roles/{roles['member']}")
    body: Any = sign_in_body("u", ADMIN_PASSWORD, None)
    body["auth"]["scope"] = {"project": {"id": project}}
    async with cloud.client() as anonymous:
        answer = await anonymous.post(f"{v3}/auth/tokens", json=body)
    return {"x-auth-token": answer.headers["x-subject-token"]}


async def test_a_namespaces_life(client: httpx.AsyncClient) -> None:
    new = {
        "namespace": "OS::Test::A",
        "display_name": "A",
        "visibility": "public",
        "protected": True,
        "resource_type_associations": [{"name": "OS::Nova::Flavor", "prefix": "hw:"}],
        "properties": {"size": SIZE},
        "objects": [{"name": "disk", "required": ["size"], "properties": {"size": SIZE}}],
        "tags": [{"name": "red"}],
    }
    answer = await client.post(NAMESPACES, json=new)
    made = answer.json()
    assert (answer.status_code, made["self"]) == (201, "/v2/metadefs/namespaces/OS%3A%3ATest%3A%3AA")
    assert answer.headers["location"] == "https://cloud.test/image" + made["self"]
    assert (made["properties"], made["schema"]) == (
        {"size": {"name": "size", **SIZE}},
        "/v2/schemas/metadefs/namespace",
    )
    await ask(client, "POST", "", new, 409)
    shown = await ask(client, "GET", "/OS::Test::A")
    assert shown == made
    assert (shown["tags"][0]["name"], shown["objects"][0]["required"]) == ("red", ["size"])
    assert list((await ask(client, "GET", "/OS::Test::A?resource_type=OS::Nova::Flavor"))["properties"]) == ["hw:size"]
    await ask(client, "GET", "/OS::Test::A?resource_type=other", None, 404)
    await ask(client, "DELETE", "/OS::Test::A", None, 403)
    changed = await ask(client, "PUT", "/OS::Test::A", {"namespace": "B", "description": "d", "protected": False})
    assert (changed["namespace"], changed["visibility"], changed["protected"]) == ("B", "private", False)
    assert "display_name" not in changed
    await ask(client, "GET", "/OS::Test::A", None, 404)
    assert "size" in (await ask(client, "GET", "/B"))["properties"]  # what is in it stays
    await ask(client, "DELETE", "/B", None, 204)
    await ask(client, "DELETE", "/B", None, 404)


async def test_properties_and_objects_come_change_and_go(client: httpx.AsyncClient) -> None:
    await ask(client, "POST", "", {"namespace": "n"}, 201)
    for kind, word in (("properties", SIZE), ("objects", {"description": "d"})):
        made = await ask(client, "POST", f"/n/{kind}", {"name": "a", **word}, 201)
        assert made.items() >= {"name": "a", **word}.items()
        await ask(client, "POST", f"/n/{kind}", {"name": "a", **word}, 409)
        await ask(client, "POST", f"/n/{kind}", {"name": "b", **word}, 201)
        await ask(client, "PUT", f"/n/{kind}/a", {"name": "b", **word}, 409)
        assert (await ask(client, "PUT", f"/n/{kind}/a", {"name": "c", **word}))["name"] == "c"
        await ask(client, "GET", f"/n/{kind}/a", None, 404)
        assert (await ask(client, "GET", f"/n/{kind}/c"))["name"] == "c"
        assert len((await ask(client, "GET", f"/n/{kind}"))[kind]) == 2
        await ask(client, "DELETE", f"/n/{kind}/c", None, 204)
        await ask(client, "DELETE", f"/n/{kind}/c", None, 404)
        await ask(client, "DELETE", f"/n/{kind}", None, 204)
        assert not (await ask(client, "GET", f"/n/{kind}"))[kind]


async def test_tags_are_set_together_or_one_by_one(client: httpx.AsyncClient) -> None:
    await ask(client, "POST", "", {"namespace": "n"}, 201)

    async def names() -> list[str]:
        return [tag["name"] for tag in (await ask(client, "GET", "/n/tags"))["tags"]]

    await ask(client, "POST", "/n/tags", {"tags": [{"name": "a"}, {"name": "b"}]}, 201)
    await ask(client, "POST", "/n/tags", {"tags": [{"name": "c"}]}, 201)
    assert await names() == ["c"]
    client.headers["X-Openstack-Append"] = "True"
    await ask(client, "POST", "/n/tags", {"tags": [{"name": "d"}]}, 201)
    await ask(client, "POST", "/n/tags/e", None, 201)
    await ask(client, "POST", "/n/tags/e", None, 409)
    assert (await ask(client, "PUT", "/n/tags/e", {"name": "f"}))["name"] == "f"
    assert await names() == ["c", "d", "f"]
    await ask(client, "DELETE", "/n/tags/f", None, 204)
    await ask(client, "GET", "/n/tags/f", None, 404)
    await ask(client, "DELETE", "/n/tags", None, 204)
    assert await names() == []


async def test_a_namespace_is_for_types_of_things(client: httpx.AsyncClient) -> None:
    await ask(client, "POST", "", {"namespace": "n", "properties": {"size": SIZE}}, 201)
    new = {"name": "My::Type", "prefix": "my_"}
    assert (await ask(client, "POST", "/n/resource_types", new, 201))["prefix"] == "my_"
    await ask(client, "POST", "/n/resource_types", new, 409)
    types = [each["name"] for each in (await client.get(f"{METADEFS}/resource_types")).json()["resource_types"]]
    assert {"My::Type", "OS::Nova::Flavor"} <= set(types)
    assert (await ask(client, "GET", "/n/properties/my_size?resource_type=My::Type"))["name"] == "my_size"
    await ask(client, "GET", "/n/properties/size?resource_type=My::Type", None, 404)
    await ask(client, "DELETE", "/n/resource_types/My::Type", None, 204)
    await ask(client, "DELETE", "/n/resource_types/My::Type", None, 404)
    assert (await ask(client, "GET", "/n/resource_types"))["resource_type_associations"] == []


async def test_lists_are_filtered_sorted_and_paged(client: httpx.AsyncClient) -> None:
    for name, visibility in (("a", "public"), ("b", "private"), ("c", "public")):
        linked = [{"name": f"T::{name}"}]
        new = {"namespace": name, "visibility": visibility, "resource_type_associations": linked}
        await ask(client, "POST", "", new, 201)

    async def names(query: str) -> list[str]:
        return [each["namespace"] for each in (await ask(client, "GET", query))["namespaces"]]

    assert await names("?sort_key=namespace&sort_dir=asc") == ["a", "b", "c"]
    assert await names("?sort_key=namespace&visibility=public") == ["c", "a"]
    assert await names("?resource_types=T::b,T::none") == ["b"]
    first = await ask(client, "GET", "?sort_key=namespace&limit=2")
    rest = await client.get("/image" + first["next"])
    assert [each["namespace"] for each in rest.json()["namespaces"]] == ["a"]
    assert "next" not in rest.json()
    for query, status in (("?limit=-1", 400), ("?sort_key=x", 400), ("?sort_dir=x", 400), ("?marker=x", 404)):
        await ask(client, "GET", query, None, status)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"namespace": ""}),
        ("", {"namespace": "n" * 81}),
        ("", {"namespace": "m", "colour": "red"}),
        ("", {"namespace": "m", "visibility": "shared"}),
        ("", {"namespace": "m", "description": "d" * 501}),
        ("/n/properties", {"name": "p", "title": "P"}),
        ("/n/properties", {"name": "p", "title": "P", "type": "string", "colour": "red"}),
        ("/n/properties", {"name": "p", "title": "P", "type": "text"}),
        ("/n/properties", {"name": "p", "title": "P", "type": "string", "minLength": -1}),
        ("/n/objects", {"name": "o", "properties": {"p": {"title": "P"}}}),
        ("/n/tags", {"tags": [{"name": ""}]}),
        ("/n/resource_types", {"prefix": "p"}),
    ],
)
async def test_bad_input_is_refused_and_changes_nothing(client: httpx.AsyncClient, path: str, body: object) -> None:
    before = await ask(client, "POST", "", {"namespace": "n"}, 201)
    assert (await ask(client, "POST", path, body, 400))["message"]
    assert await ask(client, "GET", "/n") == before
    assert len((await ask(client, "GET", ""))["namespaces"]) == 1


async def test_what_is_too_large_does_not_go_in(client: httpx.AsyncClient) -> None:
    await ask(client, "POST", "", {"namespace": "n"}, 201)
    large = {"name": "p", "title": "P", "type": "string", "default": "x" * 60_000}
    await ask(client, "POST", "/n/properties", large, 201)
    await ask(client, "POST", "/n/properties", {**large, "name": "q"}, 403)
    assert list((await ask(client, "GET", "/n/properties"))["properties"]) == ["p"]


async def test_other_projects_see_what_is_public_and_write_nothing(cloud: Cloud, client: httpx.AsyncClient) -> None:
    linked = [{"name": "Secret::Type"}]
    await ask(client, "POST", "", {"namespace": "private", "resource_type_associations": linked}, 201)
    await ask(client, "POST", "", {"namespace": "public", "visibility": "public"}, 201)
    other = await stranger(cloud, client)
    async with cloud.client() as theirs:
        theirs.headers.update(other)
        assert [each["namespace"] for each in (await ask(theirs, "GET", ""))["namespaces"]] == ["public"]
        await ask(theirs, "GET", "/public/tags")
        await ask(theirs, "GET", "/private", None, 404)
        await ask(theirs, "GET", "/private/properties", None, 404)
        await ask(theirs, "POST", "/public/tags/a", None, 403)
        for verb, path in (("POST", "/tags/a"), ("DELETE", ""), ("DELETE", "/properties"), ("DELETE", "/objects/a")):
            await ask(theirs, verb, f"/public{path}", None, 403)
            await ask(theirs, verb, f"/private{path}", None, 404)
        assert "Secret::Type" not in (await theirs.get(f"{METADEFS}/resource_types")).text


async def test_every_kind_has_a_schema(client: httpx.AsyncClient) -> None:
    names = {"resource_type": "resource_type_association", "resource_types": "resource_type_associations"}
    kinds = ("namespace", "namespaces", "object", "objects", "property", "properties", "tag", "tags", *names)
    for kind in kinds:
        answer = await client.get(f"/image/v2/schemas/metadefs/{kind}")
        assert (answer.status_code, answer.json()["name"]) == (200, names.get(kind, kind))
    assert (await client.get("/image/v2/schemas/metadefs/other")).status_code == 404


async def test_the_unmodified_client_manages_metadata_definitions(cloud: Cloud, tmp_path: Path) -> None:
    context, ca = api_certificate(tmp_path)
    async with serving(cloud, context) as base:

        async def run(*words: str) -> Any:
            printed = await openstack(base, ca, "image", "metadef", *words)
            return json.loads(printed) if "json" in words else None

        await run("namespace", "create", "--public", "--display-name", "N", "n")
        await run("namespace", "set", "--description", "d", "--public", "n")
        assert [each["namespace"] for each in await run("namespace", "list", "-f", "json")] == ["n"]
        assert (await run("namespace", "show", "n", "-f", "json"))["description"] == "d"
        await run("property", "create", "--name", "p", "--title", "P", "--type", "string", "--schema", "{}", "n")
        await run("property", "set", "--title", "Q", "n", "p")
        assert (await run("property", "show", "n", "p", "-f", "json"))["title"] == "Q"
        await run("object", "create", "--namespace", "n", "o")
        assert (await run("object", "show", "n", "o", "-f", "json"))["name"] == "o"
        await run("object", "update", "--name", "q", "n", "o")
        await run("object", "delete", "n", "q")
        await run("resource", "type", "association", "create", "n", "OS::Nova::Flavor")
        associated = await run("resource", "type", "association", "list", "n", "-f", "json")
        assert "OS::Nova::Flavor" in json.dumps(associated)
        await run("resource", "type", "association", "delete", "n", "OS::Nova::Flavor")
        assert "OS::Nova::Flavor" in json.dumps(await run("resource", "type", "list", "-f", "json"))
        await run("property", "delete", "n", "p")
        await run("namespace", "delete", "n")
