"""OAuth 1.0a (Identity API v3, OS-OAUTH1): consumers, and what users authorize them to do."""

from noded.core.service import Service
from noded.identity.delegations import AccessToken
from noded.identity.endpoint import IDENTITY
from noded.identity.oauth1.access_tokens.api import ROUTES as ACCESS_ROUTES
from noded.identity.oauth1.api import ROUTES
from noded.identity.oauth1.commands import (
    AuthorizeRequestToken,
    CreateAccessToken,
    CreateConsumer,
    CreateRequestToken,
    DeleteAccessToken,
    DeleteConsumer,
    UpdateConsumer,
)
from noded.identity.oauth1.model import Consumer, RequestToken

SERVICE = Service(
    name="noded.identity.oauth1",
    endpoint=IDENTITY,
    records=(Consumer, RequestToken, AccessToken),
    commands=(
        CreateConsumer,
        UpdateConsumer,
        DeleteConsumer,
        CreateRequestToken,
        AuthorizeRequestToken,
        CreateAccessToken,
        DeleteAccessToken,
    ),
    routes=(*ROUTES, *ACCESS_ROUTES),
)
