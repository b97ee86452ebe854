"""The disks that the log lies on: how full each is, and what that keeps the cluster from. Below `/noded/v1/log`."""

from consensus.disks.api import PEER_CALLS, ROUTES, explain_log
from consensus.endpoint import NODED
from noded.core.service import Service

SERVICE = Service(
    name="consensus.disks",
    endpoint=NODED,
    routes=ROUTES,
    peer_calls=PEER_CALLS,
    explain={"log": explain_log},
)
