"""Ports: Neutron's `ports`."""

from net.endpoint import NETWORK
from net.ports import commands, model
from net.ports.api import ROUTES
from net.ports.departure import ReleasePorts, departure
from noded.core.service import Service

SERVICE = Service(
    name="net.ports",
    endpoint=NETWORK,
    records=(model.Port,),
    commands=(commands.CreatePort, commands.UpdatePort, commands.DeletePort, commands.ReportPorts, ReleasePorts),
    routes=ROUTES,
    departure=departure,
)
