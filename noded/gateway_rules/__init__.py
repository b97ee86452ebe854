"""What the front door asks of clients, of the whole cloud: how fast they may ask, from which sites pages may call.

Below `/noded/v1/gateway-rules`.
"""

from consensus.endpoint import NODED
from noded.core.service import Service
from noded.gateway_rules.api import LOCAL_CALLS, ROUTES
from noded.gateway_rules.commands import SetGatewayRules
from noded.gateway_rules.model import GatewayRules

SERVICE = Service(
    name="noded.gateway_rules",
    endpoint=NODED,
    records=(GatewayRules,),
    commands=(SetGatewayRules,),
    routes=ROUTES,
    local_calls=LOCAL_CALLS,
)
