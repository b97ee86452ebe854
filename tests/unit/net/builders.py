"""Values that net's tests build on: a store, a network, a subnet, a port, each with what matters and defaults."""

from collections.abc import Callable

from consensus.store import Picture
from net.addresses import AddressPool, default_pools, parse_cidr
from net.networks.commands import CreateNetwork, CreateSubnet
from net.ports.commands import CreatePort
from net.ports.model import NewPort
from net.security_groups.model import DefaultGroupIds
from noded.core.command import Command
from noded.core.ids import NetworkId, PortId, ProjectId, Revision, SubnetId

PROJECT = ProjectId("a" * 32)
OTHER_PROJECT = ProjectId("b" * 32)
NOW = 1_800_000_000_000


def counting(prefix: str) -> Callable[[], str]:
    """A source of ids that are easy to read in a failed test: `sg-1`, `sg-2`."""
    count = iter(range(1, 1_000_000))
    return lambda: f"{prefix}-{next(count)}"


class Store:
    """A picture that commands move on, entry by entry, as the log does."""

    def __init__(self) -> None:
        self.view = Picture.empty()

    def apply(self, *commands: Command) -> Picture:
        """Apply all or none; raises what a command refuses."""
        change = self.view.begin(Revision(self.view.revision + 1))
        for command in commands:
            command.apply(change)
        self.view = change.commit()
        return self.view


def network(id: str = "net-1", project_id: ProjectId = PROJECT, **fields: object) -> CreateNetwork:
    """A command that makes a network."""
    return CreateNetwork(**{"network_id": NetworkId(id), "project_id": project_id, "name": id, "now_ms": NOW, **fields})


def subnet(
    id: str = "sub-1",
    network_id: str = "net-1",
    cidr: str = "10.1.0.0/24",
    gateway_ip: str | None = "10.1.0.1",
    pools: tuple[AddressPool, ...] | None = None,
    **fields: object,
) -> CreateSubnet:
    """A command that gives a network a subnet."""
    parsed = parse_cidr(cidr)
    assert parsed is not None
    return CreateSubnet(
        **{
            "subnet_id": SubnetId(id),
            "network_id": NetworkId(network_id),
            "project_id": PROJECT,
            "name": id,
            "cidr": cidr,
            "gateway_ip": gateway_ip,
            "pools": default_pools(parsed, gateway_ip) if pools is None else pools,
            "now_ms": NOW,
            **fields,
        }
    )


def port(
    id: str = "port-1", network_id: str = "net-1", project_id: ProjectId = PROJECT, **fields: object
) -> CreatePort:
    """A command that makes a port; its MAC follows from its id."""
    digits = f"{sum(map(ord, id)) * 7919 % 0xFFFFFF:06x}"
    mac = "fa:16:3e:" + ":".join(digits[at : at + 2] for at in (0, 2, 4))
    new = NewPort(
        **{"id": PortId(id), "network_id": NetworkId(network_id), "project_id": project_id, "mac": mac, **fields}
    )
    ids = DefaultGroupIds.drawn(counting(f"default-of-{project_id[:1]}"))
    return CreatePort(port=new, default_group=ids, now_ms=NOW)
