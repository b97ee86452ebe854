"""What the metadata service answers, path by path. Real HTTP is spoken in tests/contract/test_net_host.py."""

import msgspec
import pytest

from net.dataplane.metadata import EC2_VERSIONS, OPENSTACK_VERSIONS, document
from net.links import Facts
from net.ports.model import Port
from noded.core.ids import NodeId, ProjectId
from tests.unit.net.builders import OTHER_PROJECT, PROJECT, Store, network, port, subnet

P1 = "00000001-0000-4000-8000-000000000000"
NODE = NodeId("node1")
FACTS = Facts(
    uuid="0badcafe-0000-4000-8000-000000000000",
    name="Web One",
    hostname="web-one",
    project_id=ProjectId(PROJECT),
    public_keys={"b": "ssh-ed25519 BBBB", "a": "ssh-ed25519 AAAA"},
    user_data=b"\x1f\x8b\x00binary",
    metadata={"role": "web"},
    flavor_name="m1.small",
)


def get(path: str, facts: Facts = FACTS) -> bytes | None:
    store = Store()
    view = store.apply(
        network(),
        subnet(dns_nameservers=("9.9.9.9",)),
        port(P1, device_id=FACTS.uuid, node_id=NODE, mac="fa:16:3e:00:00:01"),
    )
    found = document(path, facts, view, view.need(Port, P1))
    return None if found is None else found.content


def text(path: str) -> str:
    content = get(path)
    assert content is not None, path
    return content.decode()


def test_every_openstack_version_has_the_same_files() -> None:
    assert text("/openstack").split() == text("/openstack/").split() == list(OPENSTACK_VERSIONS)
    for version in OPENSTACK_VERSIONS:
        assert msgspec.json.decode(text(f"/openstack/{version}/meta_data.json"))["uuid"] == FACTS.uuid


def test_meta_data_names_the_server_its_keys_and_its_metadata() -> None:
    meta = msgspec.json.decode(text("/openstack/latest/meta_data.json"))
    assert (meta["name"], meta["hostname"], meta["project_id"]) == ("Web One", "web-one", PROJECT)
    assert meta["public_keys"] == FACTS.public_keys
    assert [key["name"] for key in meta["keys"]] == ["a", "b"]
    assert meta["meta"] == {"role": "web"}


def test_network_data_describes_the_cards() -> None:
    data = msgspec.json.decode(text("/openstack/latest/network_data.json"))
    (link,) = data["links"]
    assert (link["ethernet_mac_address"], link["mtu"], link["vif_id"]) == ("fa:16:3e:00:00:01", 1450, P1)
    assert [each["type"] for each in data["networks"]] == ["ipv4_dhcp"]
    assert data["services"] == [{"type": "dns", "address": "9.9.9.9"}]


def test_a_port_that_only_claims_to_be_the_servers_is_not_among_its_cards() -> None:
    store = Store()
    store.apply(network(), subnet(dns_nameservers=("9.9.9.9",)), port(P1, device_id=FACTS.uuid, node_id=NODE))
    store.apply(network("net-2", OTHER_PROJECT), subnet("sub-2", "net-2", dns_nameservers=("6.6.6.6",)))
    view = store.apply(port("forged", "net-2", OTHER_PROJECT, device_id=FACTS.uuid))
    found = document("/openstack/latest/network_data.json", FACTS, view, view.need(Port, P1))
    assert found is not None
    data = msgspec.json.decode(found.content)
    assert [link["vif_id"] for link in data["links"]] == [P1]
    assert data["services"] == [{"type": "dns", "address": "9.9.9.9"}]


def test_user_data_is_the_very_bytes_or_nothing() -> None:
    assert get("/openstack/latest/user_data") == get("/latest/user-data") == FACTS.user_data
    without = Facts(uuid="u", name="n", hostname="h", project_id=ProjectId(PROJECT))
    assert get("/openstack/latest/user_data", without) is get("/latest/user-data", without) is None
    assert b"user_data" not in (get("/openstack/latest", without) or b"")


def test_the_ec2_tree_is_walked_from_the_top() -> None:
    assert text("/").split() == list(EC2_VERSIONS)
    assert text("/2009-04-04").split() == ["meta-data/", "user-data"]
    names = text("/latest/meta-data/").split()
    for name in names:
        assert get(f"/latest/meta-data/{name}") is not None, name
    assert text("/latest/meta-data/instance-id") == "i-0badcafe"
    assert text("/latest/meta-data/local-ipv4") == "10.1.0.2"
    assert text("/latest/meta-data/public-keys/").split() == ["0=a", "1=b"]
    assert text("/latest/meta-data/public-keys/1/").split() == ["openssh-key"]
    assert text("/latest/meta-data/public-keys/1/openssh-key") == "ssh-ed25519 BBBB"
    assert text("/latest/meta-data/placement/availability-zone") == "nova"


@pytest.mark.parametrize(
    "path",
    ["/other", "/openstack/1999-01-01", "/openstack/latest/x", "/openstack/latest/user_data/x", "/latest/x",
     "/latest/meta-data/hostname/x", "/latest/meta-data/public-keys/7/openssh-key"],
)  # fmt: skip
def test_nothing_else_is_there(path: str) -> None:
    assert get(path) is None
