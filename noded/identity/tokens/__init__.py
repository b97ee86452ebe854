"""Tokens (Identity API v3, /auth): made when someone signs in, sealed, good on every node, ended by a record."""

from cryptography.fernet import Fernet

from noded.core.command import Command
from noded.core.service import Founding, Service
from noded.identity.endpoint import IDENTITY
from noded.identity.guesses.authority import PEER_CALLS
from noded.identity.model import RevokedToken, TokenKey
from noded.identity.tokens.api import ROUTES
from noded.identity.tokens.commands import AddTokenKey, RevokeToken
from noded.identity.tokens.ec2.api import ROUTES as EC2_ROUTES
from noded.identity.tokens.federated.api import ROUTES as FEDERATED_ROUTES
from noded.identity.tokens.reconcile import TokenKeysReconciler


def _found(founding: Founding) -> list[Command]:
    """A key that seals and one that is staged."""
    return [
        AddTokenKey(
            key_id=founding.new_hex_id(),
            secret=Fernet.generate_key(),
            now_ms=founding.now_ms,
            after_number=number,
        )
        for number in (0, 1)
    ]


SERVICE = Service(
    name="noded.identity.tokens",
    endpoint=IDENTITY,
    records=(TokenKey, RevokedToken),
    commands=(AddTokenKey, RevokeToken),
    routes=(*ROUTES, *EC2_ROUTES, *FEDERATED_ROUTES),
    reconcilers=(TokenKeysReconciler,),
    peer_calls=PEER_CALLS,
    founding=_found,
)
