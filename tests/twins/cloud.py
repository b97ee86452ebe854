"""A cloud without machines: the gateway over a cluster in memory, with identity founded and cheap password hashes."""

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import trio

from consensus.authority import Authority, found_authority, new_private_key, public_key_of, sign_api
from noded import health, policy
from noded.core.dice import new_hex_id, new_uuid
from noded.core.ids import ProjectId
from noded.core.service import Founding, Service
from noded.gateway.app import Gateway
from noded.gateway.catalog import Catalog
from noded.gateway.server import serve
from noded.identity.host.argon2 import Argon2Passwords
from noded.identity.host.drivers import add_identity_drivers
from noded.policy.model import Policies
from noded.services import SERVICES
from tests.twins.cluster import SharedCluster

IDENTITY_SERVICES = tuple(
    service
    for service in SERVICES
    if service.name.startswith("noded.identity.") or service in (health.SERVICE, policy.SERVICE)
)
ADMIN_PASSWORD = "correct horse"
BASE = "https://cloud.test"


@dataclass
class Cloud:
    """One founded cloud; `gateways` by node."""

    shared: SharedCluster
    gateways: dict[str, Gateway]
    admin_project_id: ProjectId

    def client(self, node: str = "node1") -> httpx.AsyncClient:
        """A client of one node's gateway, without sockets."""
        transport = httpx.ASGITransport(self.gateways[node], raise_app_exceptions=True, client=("10.77.0.9", 5000))
        return httpx.AsyncClient(transport=transport, base_url=BASE)

    async def sign_in(
        self,
        client: httpx.AsyncClient,
        name: str = "admin",
        password: str = ADMIN_PASSWORD,
        project: str | None = "admin",
    ) -> httpx.Response:
        """The answer to a password sign-in."""
        return await client.post("/identity/v3/auth/tokens", json=sign_in_body(name, password, project))

    async def admin(self, client: httpx.AsyncClient) -> dict[str, str]:
        """The headers of the administrator's requests."""
        return {"X-Auth-Token": (await self.sign_in(client)).headers["X-Subject-Token"]}

    async def token_with(self, client: httpx.AsyncClient, role: str) -> dict[str, str]:
        """The headers of a new user who holds one role on a project of their own."""
        admin = await self.admin(client)
        name = f"only-{role}"
        user = {"user": {"name": name, "password": name}}
        user_id = (await client.post("/identity/v3/users", json=user, headers=admin)).json()["user"]["id"]
        project = {"project": {"name": name}}
        project_id = (await client.post("/identity/v3/projects", json=project, headers=admin)).json()["project"]["id"]
        roles = (await client.get("/identity/v3/roles", params={"name": role}, headers=admin)).json()["roles"]
        place = f"/identity/v3/projects/{project_id}/users/{user_id}/roles/{roles[0]['id']}"
        granted = await client.put(place, headers=admin)
        assert granted.status_code == 204, granted.text
        signed_in = await self.sign_in(client, name, name, name)
        return {"X-Auth-Token": signed_in.headers["X-Subject-Token"]}


def sign_in_body(name: str, password: str, project: str | None) -> dict[str, object]:
    user = {"name": name, "password": password, "domain": {"id": "default"}}
    auth: dict[str, object] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if project is not None:
        auth["scope"] = {"project": {"name": project, "domain": {"id": "default"}}}
    return {"auth": auth}


async def found_cloud(
    services: Iterable[Service] = IDENTITY_SERVICES,
    nodes: Iterable[str] = ("node1", "node2", "node3"),
    passwords: Argon2Passwords | None = None,
) -> Cloud:
    """Found a cloud of three nodes that share one state in memory."""
    services = tuple(services)
    shared = SharedCluster(services, nodes)
    first = min(shared.up)
    passwords = passwords or Argon2Passwords(memory_kib=8, passes=1)
    founding = Founding(
        now_ms=1_700_000_000_000,
        new_uuid=new_uuid,
        new_hex_id=new_hex_id,
        admin_project_id=ProjectId(new_hex_id()),
        admin_password_hash=await passwords.hash(ADMIN_PASSWORD),
    )
    commands = [command for service in services if service.founding for command in service.founding(founding)]
    await shared.cluster(first).propose(*commands)
    gateways = {}
    for node, drivers in shared.drivers.items():
        add_identity_drivers(drivers, passwords)
        drivers.add(Catalog, Catalog(services))
        drivers.add(Policies, Policies(services))
        gateways[node] = Gateway(services, shared.cluster(node), drivers)
    return Cloud(shared, gateways, founding.admin_project_id)


def api_certificate(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server context for 127.0.0.1, and the file of the authority that clients shall trust."""
    now = datetime.now(UTC)
    authority: Authority = found_authority("test", now)
    key = new_private_key()
    (directory / "api.key").write_bytes(key)
    (directory / "api.crt").write_bytes(sign_api(authority, public_key_of(key), ["127.0.0.1", "localhost"], now))
    (directory / "ca.crt").write_bytes(authority.certificate_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "api.crt", directory / "api.key")
    return context, directory / "ca.crt"


@asynccontextmanager
async def serving(cloud: Cloud, context: ssl.SSLContext, node: str = "node1") -> AsyncIterator[str]:
    """The node's gateway by HTTPS on the loopback; gives its base URL."""
    async with trio.open_nursery() as nursery:
        ports = await nursery.start(partial(serve, cloud.gateways[node], context, port=0, host="127.0.0.1"))
        yield f"https://127.0.0.1:{ports[0]}"
        nursery.cancel_scope.cancel()
