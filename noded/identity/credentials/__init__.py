"""Credentials (Identity API v3, /credentials and OS-EC2): secrets of users for things other than signing in here."""

from noded.core.service import Service
from noded.identity.credentials.api import ROUTES
from noded.identity.credentials.commands import CreateCredential, DeleteCredential, UpdateCredential
from noded.identity.credentials.ec2.api import ROUTES as EC2_ROUTES
from noded.identity.credentials.model import Credential
from noded.identity.endpoint import IDENTITY

SERVICE = Service(
    name="noded.identity.credentials",
    endpoint=IDENTITY,
    records=(Credential,),
    commands=(CreateCredential, UpdateCredential, DeleteCredential),
    routes=(*ROUTES, *EC2_ROUTES),
)
