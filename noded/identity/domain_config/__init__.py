"""Domain configuration (Identity API v3, /domains/{id}/config): options of a domain, kept and given back.

Nothing here obeys them yet: users of every domain are the cloud's own.
"""

from noded.core.service import Service
from noded.identity.domain_config.api import ROUTES
from noded.identity.domain_config.commands import DeleteDomainConfig, SetDomainConfig
from noded.identity.domain_config.model import DomainConfig
from noded.identity.endpoint import IDENTITY

SERVICE = Service(
    name="noded.identity.domain_config",
    endpoint=IDENTITY,
    records=(DomainConfig,),
    commands=(SetDomainConfig, DeleteDomainConfig),
    routes=ROUTES,
)
