"""Networks and subnets: Neutron's `networks` and `subnets`."""

from net.endpoint import NETWORK
from net.networks import commands, model
from net.networks.api import ROUTES
from noded.core.service import Service

SERVICE = Service(
    name="net.networks",
    endpoint=NETWORK,
    records=(model.Network, model.Subnet, model.NetworkUse, model.AddressCursor, model.VniCounter),
    commands=(
        commands.CreateNetwork,
        commands.UpdateNetwork,
        commands.DeleteNetwork,
        commands.CreateSubnet,
        commands.UpdateSubnet,
        commands.DeleteSubnet,
    ),
    routes=ROUTES,
)
