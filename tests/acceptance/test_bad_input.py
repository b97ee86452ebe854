"""Bad input gets the API's own error, names the reason, and changes nothing."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.clients import Person, Tenant, until
from tests.lab.lab import Lab

pytestmark = pytest.mark.root

REVOKED_S_MAX = 1.0  # another node learns of a revocation with its next entry of the log
COLLECTIONS = ["/compute/v2.1/servers", "/network/v2.0/networks", "/image/v2/images"]


class Wire:
    """Plain HTTP, for requests that no client library would send."""

    def __init__(self, lab: Lab, person: Person) -> None:
        self._client = httpx.Client(base_url=lab.host(2).url, verify=person.tls(), timeout=30)
        self._person = person
        self.token = self.sign_in().headers["x-subject-token"]

    def sign_in(self, **changed: str) -> httpx.Response:
        user = {"name": self._person.user, "password": self._person.password, "domain": {"id": "default"}, **changed}
        scope = {"project": {"name": self._person.project, "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        return self._client.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})

    def send(self, verb: str, path: str, *, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {"x-auth-token": self.token if token is None else token, **more.pop("headers", {})}
        return self._client.request(verb, path, headers=headers, **more)

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def wire(cloud: Lab, tenant: Tenant) -> Iterator[Wire]:
    made = Wire(cloud, tenant.person)
    yield made
    made.close()


def test_a_wrong_password_and_an_unknown_user_are_answered_alike(wire: Wire) -> None:
    wrong, nobody = wire.sign_in(password="wrong"), wire.sign_in(name="nobody")
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json() == nobody.json()
    assert wrong.json()["error"]["code"] == 401


@pytest.mark.parametrize(
    "path", ["/compute/v2.1/servers", "/network/v2.0/networks", "/image/v2/images", "/identity/v3/projects"]
)
def test_a_tampered_or_missing_token_opens_nothing(wire: Wire, path: str) -> None:
    middle = len(wire.token) // 2
    swapped = "A" if wire.token[middle] != "A" else "B"
    for token in (wire.token[:middle] + swapped + wire.token[middle + 1 :], "", "x" * 200, wire.token[:-4]):
        assert wire.send("GET", path, token=token).status_code == 401


def test_a_revoked_token_is_dead_on_every_host(wire: Wire, cloud: Lab, tenant: Tenant) -> None:
    gone = wire.sign_in().headers["x-subject-token"]
    assert wire.send("DELETE", "/identity/v3/auth/tokens", headers={"x-subject-token": gone}).status_code == 204
    for host in cloud.hosts:
        with httpx.Client(base_url=host.url, verify=tenant.person.tls(), headers={"x-auth-token": gone}) as client:
            refused = lambda client=client: client.get("/compute/v2.1/servers").status_code == 401  # noqa: E731
            until(refused, f"{host.name} refuses the revoked token", REVOKED_S_MAX)


def test_what_another_project_owns_is_not_there(
    wire: Wire, admin: Person, cloud: Lab, tenant: Tenant, image_id: str, small: str, tmp_path: Path
) -> None:
    other = Tenant.make(admin, cloud, tmp_path)
    try:
        server = other.create("private", image_id, small)
        assert wire.send("GET", f"/compute/v2.1/servers/{server.id}").status_code == 404
        assert wire.send("DELETE", f"/compute/v2.1/servers/{server.id}").status_code == 404
        assert wire.send("GET", f"/network/v2.0/networks/{other.network_id}").status_code == 404
        assert wire.send("DELETE", f"/network/v2.0/networks/{other.network_id}").status_code == 404
        stolen = {
            "server": {"name": "x", "imageRef": image_id, "flavorRef": small, "networks": [{"uuid": other.network_id}]}
        }
        assert wire.send("POST", "/compute/v2.1/servers", json=stolen).status_code == 400
        assert other.cloud.compute.get_server(server.id).id == server.id
    finally:
        other.clear()


BROKEN = [b"{", b"[]", b"null", b'{"server": 3}', b"\xff\xfe", b"", b'{"server": {"name": "x"']


@pytest.mark.parametrize("body", BROKEN)
@pytest.mark.parametrize("path", [*COLLECTIONS, "/identity/v3/auth/tokens"])
def test_malformed_json_is_told_so(wire: Wire, path: str, body: bytes) -> None:
    answer = wire.send("POST", path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert "Traceback" not in answer.text


def test_unknown_fields_and_long_names_are_refused(wire: Wire, image_id: str, small: str, tenant: Tenant) -> None:
    server = {"name": "x", "imageRef": image_id, "flavorRef": small, "networks": [{"uuid": tenant.network_id}]}
    for wrong in (
        {"colour": "red"},
        {"name": "n" * 256},
        {"name": ""},
        {"flavorRef": "no-such"},
        {"imageRef": "../etc"},
    ):
        answer = wire.send("POST", "/compute/v2.1/servers", json={"server": {**server, **wrong}})
        assert answer.status_code == 400, (wrong, answer.text)
        assert answer.json()["badRequest"]["message"]
    assert wire.send("POST", "/network/v2.0/networks", json={"network": {"name": "n" * 256}}).status_code == 400
    assert wire.send("POST", "/network/v2.0/networks", json={"network": {"colour": 1}}).status_code == 400
    assert wire.send("GET", "/compute/v2.1/servers").json()["servers"] == []


@pytest.mark.parametrize("path", COLLECTIONS)
def test_ten_megabytes_of_json_are_refused(wire: Wire, path: str) -> None:
    answer = wire.send("POST", path, content=b'{"a": "' + b"x" * 10_000_000 + b'"}')
    assert answer.status_code == 413


def test_an_image_that_lies_or_leans_on_another_file_is_refused(wire: Wire, tenant: Tenant, tmp_path: Path) -> None:
    backed, garbage = tmp_path / "backed.qcow2", tmp_path / "garbage.qcow2"
    base = tmp_path / "base.raw"
    base.write_bytes(b"x" * 65536)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, backed], check=True)
    garbage.write_bytes(b"this is no disk at all" * 5000)
    for file in (backed, garbage):
        image = {"name": file.name, "disk_format": "qcow2", "container_format": "bare"}
        made = wire.send("POST", "/image/v2/images", json=image).json()
        answer = wire.send(
            "PUT",
            f"/image{made['file']}",
            content=file.read_bytes(),
            headers={"content-type": "application/octet-stream"},
        )
        assert answer.status_code == 400, answer.text
        assert json.loads(answer.text)["message"]
        assert wire.send("GET", f"/image/v2/images/{made['id']}").json()["status"] == "queued"
        assert wire.send("DELETE", f"/image/v2/images/{made['id']}").status_code == 204
    assert tenant.person.openstack("image", "list", "--private", "-f", "value").strip() == ""
