"""A certificate of one's own: installed by one request, shown by running servers, to who asks for its names."""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from consensus import members, own_certificates
from consensus.host.api_face import HostApiFace
from consensus.own_certificates.links import ApiFace
from consensus.own_certificates.reconcile import OwnCertificatesReconciler
from noded.core.ids import NodeId
from tests.scenarios.test_members import IDS, admission, founding
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, api_certificate, found_cloud, serving

PATH = "/noded/v1/certificates"
A, B = IDS[:2]


class Maker:
    """An authority outside the cluster."""

    def __init__(self, name: str = "Outer CA", below: "Maker | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self.name, self.key, below or self, 365, None)

    def _signed(self, subject: x509.Name, key: Any, by: "Maker", days: int, names: Any) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(by.key, hashes.SHA256())

    def make(self, *hosts: str, days: int = 30) -> tuple[str, str]:
        """A certificate with this authority's after it, and the key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts
        ]
        leaf = self._signed(x509.Name([]), key, self, days, names)
        chain = b"".join(each.public_bytes(Encoding.PEM) for each in (leaf, self.certificate))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return chain.decode(), private.decode()


class Scene:
    """Two nodes that serve by TLS, and what they show."""

    def __init__(self, cloud: Cloud, client: httpx.AsyncClient, ports: dict[str, int]) -> None:
        self.cloud, self.client, self.ports = cloud, client, ports
        self.maker = Maker()

    async def reconcile(self) -> None:
        for node in (A, B):
            cluster, drivers = self.cloud.shared.cluster(node), self.cloud.shared.drivers[node]
            await OwnCertificatesReconciler(cluster, drivers).reconcile()

    async def put(self, chain: str, key: str, node: str | None = None) -> httpx.Response:
        body = {"certificate": {"chain": chain, "key": key, "node": node}}
        answer = await self.client.put(PATH, json=body)
        await self.reconcile()
        return answer

    async def seen(self, node: str, name: str | None) -> frozenset[str]:
        """The names in the certificate that a client which asks for `name` sees; None: by the address."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = await trio.open_tcp_stream("127.0.0.1", self.ports[node])
        stream = trio.SSLStream(raw, context, server_hostname=name, https_compatible=True)
        await stream.do_handshake()
        found = x509.load_der_x509_certificate(stream.getpeercert(binary_form=True))
        await trio.aclose_forcefully(stream)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return frozenset(names.get_values_for_type(x509.DNSName))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    cloud = await found_cloud((*IDENTITY_SERVICES, members.SERVICE, own_certificates.SERVICE), (A, B))
    await cloud.shared.cluster(A).propose(founding(), admission(1))
    async with served(cloud, A, tmp_path) as here, served(cloud, B, tmp_path) as there, cloud.client(A) as client:
        client.headers.update(await cloud.admin(client))
        yield Scene(cloud, client, {A: here, B: there})


@asynccontextmanager
async def served(cloud: Cloud, node: NodeId, directory: Path) -> AsyncIterator[int]:
    place = directory / node
    (place / "tls").mkdir(parents=True)
    context, _ = api_certificate(place)
    cloud.shared.drivers[node].add(ApiFace, HostApiFace(context, place, lambda: ("127.0.0.1", "localhost")))
    async with serving(cloud, context, node) as base:
        yield int(base.rsplit(":", 1)[1])


CLUSTERS = frozenset({"localhost"})


async def test_every_node_shows_it_to_who_asks_for_its_names_and_the_clusters_to_others(scene: Scene) -> None:
    assert await scene.seen(A, "cloud.example") == CLUSTERS
    installed = await scene.put(*scene.maker.make("cloud.example", "*.cloud.example"))
    assert installed.status_code == 200, installed.text
    [shown] = installed.json()["certificates"]
    assert (shown["place"], shown["names"], shown["chain"]) == ("everywhere", ["*.cloud.example", "cloud.example"], 2)
    assert "PRIVATE" not in installed.text
    own = frozenset({"cloud.example", "*.cloud.example"})
    for node in (A, B):
        asked = [await scene.seen(node, name) for name in ("cloud.example", "API.cloud.example", "localhost", None)]
        assert asked == [own, own, CLUSTERS, CLUSTERS]
    assert await scene.seen(A, "a.b.cloud.example") == CLUSTERS
    # Renewed without a restart, then taken back.
    assert (await scene.put(*scene.maker.make("cloud.example"))).status_code == 200
    assert await scene.seen(B, "cloud.example") == frozenset({"cloud.example"})
    assert (await scene.client.delete(f"{PATH}/everywhere")).status_code == 204
    await scene.reconcile()
    assert await scene.seen(B, "cloud.example") == CLUSTERS
    assert (await scene.client.delete(f"{PATH}/everywhere")).status_code == 404


async def test_one_node_may_have_one_of_its_own_and_an_address_may_be_in_it(scene: Scene) -> None:
    name = scene.cloud.shared.cluster(A).view().need(members.model.Node, B).name
    assert (await scene.put(*scene.maker.make("cloud.example"))).status_code == 200
    installed = await scene.put(*scene.maker.make("b.example", "127.0.0.1"), node=name)
    assert [each["node"] for each in installed.json()["certificates"]] == [name, None]
    assert await scene.seen(B, None) == frozenset({"b.example"})
    assert await scene.seen(A, None) == CLUSTERS
    assert await scene.seen(A, "cloud.example") == frozenset({"cloud.example"})
    assert (await scene.put(*scene.maker.make("c.example"), node="nobody")).status_code == 404


async def test_what_clients_would_not_take_is_refused_with_why(scene: Scene) -> None:
    maker = scene.maker
    chain, key = maker.make("cloud.example")
    other_chain, other_key = Maker("Other").make("cloud.example")
    parts = chain.split("-----END CERTIFICATE-----\n")
    swapped = "-----END CERTIFICATE-----\n".join((parts[1], parts[0], ""))
    locked = maker.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
    wrong = {
        "is not that of the certificate": (chain, other_key),
        "ended at": maker.make("cloud.example", days=-1),
        "names no host": maker.make(),
        "did not sign it": (parts[0] + "-----END CERTIFICATE-----\n" + other_chain, key),
        "must be the server's": (swapped, key),
        "no certificate in PEM": ("pem", key),
        "no private key in PEM": (chain, "key"),
        "has a passphrase": (chain, locked),
    }
    for why, (given, with_key) in wrong.items():
        answer = await scene.put(given, with_key)
        assert (answer.status_code, why in answer.text) == (400, True), (why, answer.text)
    assert (await scene.client.get(PATH)).json() == {"certificates": []}
