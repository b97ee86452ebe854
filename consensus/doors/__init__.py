"""The doors into the cluster: tokens, nodes that wait for approval, and who was turned away. Below `/noded/v1`."""

from consensus.doors.api import LOCAL_CALLS, PEER_CALLS, ROUTES
from consensus.doors.commands import CreateToken, RevokeToken, UseToken
from consensus.doors.model import JoinToken
from consensus.endpoint import NODED
from noded.core.service import Service

SERVICE = Service(
    name="consensus.doors",
    endpoint=NODED,
    records=(JoinToken,),
    commands=(CreateToken, RevokeToken, UseToken),
    routes=ROUTES,
    peer_calls=PEER_CALLS,
    local_calls=LOCAL_CALLS,
)
