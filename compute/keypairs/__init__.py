"""Keypairs: the public keys that guests let in (Nova API reference, "Keypairs"). They belong to users, not projects."""

from compute.endpoint import COMPUTE
from compute.keypairs.api import ROUTES
from compute.keypairs.commands import CreateKeypair, DeleteKeypair
from compute.keypairs.model import Keypair
from noded.core.service import Service

SERVICE = Service(
    name="compute.keypairs",
    endpoint=COMPUTE,
    records=(Keypair,),
    commands=(CreateKeypair, DeleteKeypair),
    routes=ROUTES,
)
