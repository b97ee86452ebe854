"""What a project may use of compute and what it uses. Nothing is limited per project here; what is used is counted."""

from compute.keypairs.model import KEYPAIRS_MAX
from compute.servers.model import METADATA_MAX, Server
from noded.core.ids import ProjectId
from noded.core.route import Allow, Request, Response, Route

UNLIMITED = -1
NETWORK_LIMITS_UNTIL = (2, 35)
IMAGE_METADATA_UNTIL = (2, 38)
PERSONALITY_UNTIL = (2, 56)


async def show_limits(request: Request) -> Response:
    """The project's limits; an administrator may name another project."""
    asked = request.query.get("tenant_id")
    project_id = ProjectId(asked) if asked and request.caller.is_admin else request.caller.project
    servers = [
        server for server in request.cluster.view().find(Server, "project_id", project_id) if not server.deleting
    ]
    return Response(body={"limits": {"rate": [], "absolute": _absolute(servers, request.microversion)}})


def _absolute(servers: list[Server], version: tuple[int, int]) -> dict[str, int]:
    limits = {
        "maxTotalInstances": UNLIMITED,
        "maxTotalCores": UNLIMITED,
        "maxTotalRAMSize": UNLIMITED,
        "maxTotalKeypairs": KEYPAIRS_MAX,
        "maxServerMeta": METADATA_MAX,
        "maxServerGroups": 0,
        "maxServerGroupMembers": 0,
        "totalInstancesUsed": len(servers),
        "totalCoresUsed": sum(server.flavor.vcpus for server in servers),
        "totalRAMUsed": sum(server.flavor.memory_mib for server in servers),
        "totalServerGroupsUsed": 0,
    }
    if version <= NETWORK_LIMITS_UNTIL:
        limits |= {
            "maxSecurityGroups": UNLIMITED,
            "maxSecurityGroupRules": UNLIMITED,
            "maxTotalFloatingIps": 0,
            "totalSecurityGroupsUsed": 0,
            "totalFloatingIpsUsed": 0,
        }
    if version <= IMAGE_METADATA_UNTIL:
        limits["maxImageMeta"] = METADATA_MAX
    if version <= PERSONALITY_UNTIL:
        limits |= {"maxPersonality": 0, "maxPersonalitySize": 0}
    return limits


ROUTES = (Route(verb="GET", path="/limits", handler=show_limits, allow=Allow.READER),)
