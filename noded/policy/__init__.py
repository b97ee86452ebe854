"""Policy: who may do what, in oslo.policy's language, for every route of every API. Below `/noded/v1/policy`."""

from consensus.endpoint import NODED
from noded.core.service import Service
from noded.policy.api import LOCAL_CALLS, ROUTES
from noded.policy.commands import SetPolicyRules, UnsetPolicyRules
from noded.policy.model import PolicyRule

SERVICE = Service(
    name="noded.policy",
    endpoint=NODED,
    records=(PolicyRule,),
    commands=(SetPolicyRules, UnsetPolicyRules),
    routes=ROUTES,
    local_calls=LOCAL_CALLS,
)
