"""What servers offer to others.

To the floors below: who stands behind a port, as the metadata service may tell it. To the rooms beside: which server a
request means, and what its history says of it.
"""

import base64

from compute.placement.model import ZONE
from compute.servers.commands import visible
from compute.servers.model import Event, Server
from net.links import Facts
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.ids import PortId
from noded.core.route import Request


def named_server(request: Request) -> Server:
    """The server that the path names as `{server_id}`, if the caller may see it. Raises `NotFound`."""
    return visible(request.cluster.view(), request.caller, request.params["server_id"])


def event_of(request: Request, action: str) -> Event:
    """What a request asks of a server now, for its history."""
    return Event(
        action=action,
        request_id=request.request_id,
        user_id=request.caller.user_id,
        project_id=request.caller.project_id,
        at_ms=now_ms(),
    )


class StoreServerFacts:
    """Implements `net.links.ServerFacts` from the store."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def facts(self, port_id: PortId) -> Facts | None:
        """The facts of the server that has the port now."""
        for server in self._cluster.view().find(Server, "ports", port_id):
            if not server.deleting:
                return _facts(server)
        return None


def _facts(server: Server) -> Facts:
    named = server.key_name is not None and server.public_key is not None
    return Facts(
        uuid=server.id,
        name=server.name,
        hostname=server.hostname,
        project_id=server.project_id,
        public_keys={str(server.key_name): str(server.public_key)} if named else {},
        user_data=base64.b64decode(server.user_data) if server.user_data else b"",
        metadata=server.metadata,
        availability_zone=ZONE,
        flavor_name=server.flavor.name,
    )
