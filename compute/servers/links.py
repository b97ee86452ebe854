"""What servers offer to the floors below: who stands behind a port, as the metadata service may tell it."""

import base64

from compute.placement.model import ZONE
from compute.servers.model import Server
from net.links import Facts
from noded.core.cluster import Cluster
from noded.core.ids import PortId


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
