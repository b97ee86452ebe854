"""The rules of passwords and locks (Keystone's `[security_compliance]`) of the whole cloud: /noded/v1/sign-in-rules."""

from consensus.endpoint import NODED
from noded.core.service import Service
from noded.identity.sign_in_rules.api import ROUTES
from noded.identity.sign_in_rules.commands import SetSignInRules
from noded.identity.sign_in_rules.model import SignInRules

SERVICE = Service(
    name="noded.identity.sign_in_rules",
    endpoint=NODED,
    records=(SignInRules,),
    commands=(SetSignInRules,),
    routes=ROUTES,
)
