"""A node's network half in a process of its own: the real wiring and dataplane over a log that a test writes.

Orders come in as JSON lines on standard input; each is answered by one line.
"""

import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio

import consensus.members
import net.networks
import net.ports
import net.security_groups
from net.dataplane.model import Flow
from net.host.drivers import add_net_drivers
from net.links import Facts, PortWiring, ServerFacts
from net.ports.model import Port
from noded.core.ids import PortId
from noded.core.reconciler import Drivers
from tests.twins.cluster import SharedCluster

SERVICES = (
    consensus.members.SERVICE,
    net.networks.SERVICE,
    net.ports.SERVICE,
    net.security_groups.SERVICE,
)


class KnownServers:
    """What the test says of the servers, by device."""

    def __init__(self, shared: SharedCluster) -> None:
        self._shared = shared
        self.by_device: dict[str, Facts] = {}

    def facts(self, port_id: PortId) -> Facts | None:
        port = self._shared.machine.picture.get(Port, port_id)
        return None if port is None else self.by_device.get(port.device_id)


class Node:
    """The orders that a test may give."""

    def __init__(self, node_id: str) -> None:
        self.shared = SharedCluster(SERVICES, [node_id])
        self.cluster = self.shared.cluster(node_id)
        drivers = Drivers()
        self.servers = KnownServers(self.shared)
        drivers.add(ServerFacts, self.servers)
        self.dataplane = add_net_drivers(drivers, self.cluster)
        self.wiring: Any = drivers.get(PortWiring)

    async def entry(self, payload: str) -> int:
        outcome = self.shared.commit(bytes.fromhex(payload))
        assert not isinstance(outcome, Exception), outcome
        return int(self.cluster.view().revision)

    async def server(self, device: str, facts: dict[str, Any]) -> None:
        self.servers.by_device[device] = Facts(**{**facts, "user_data": facts.get("user_data", "").encode()})

    async def reconcile(self) -> list[str]:
        await self.wiring.make_so()
        return [port.id for port in self.cluster.view().all(Port) if port.up]

    async def plug(self, port: str) -> str:
        return str((await self.wiring.plug(PortId(port))).name)

    async def unplug(self, port: str) -> None:
        await self.wiring.unplug(PortId(port))

    async def observe(self) -> dict[str, Any]:
        observed = await self.dataplane.observe()
        return {
            "segments": sorted(observed.segments),
            "incomplete": sorted(observed.incomplete),
            "taps": sorted(observed.taps),
            "digest": observed.rules_digest,
        }

    async def flows(self, zone: int) -> list[dict[str, Any]]:
        found: list[Flow] = await self.dataplane.flows(zone)
        return [{"source": flow.source, "destination": flow.destination, "protocol": flow.protocol} for flow in found]

    async def lacks(self) -> list[str]:
        return list(self.dataplane.lacks())


async def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # answers alone go to standard output
    node = Node(sys.argv[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.dataplane.run)
        lines = trio.wrap_file(sys.stdin)
        async for line in lines:
            order = json.loads(line)
            handler: Callable[..., Awaitable[object]] = getattr(node, order.pop("order"))
            try:
                answer = {"answer": await handler(**order)}
            except Exception:
                answer = {"fault": traceback.format_exc()}
            print(json.dumps(answer), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
