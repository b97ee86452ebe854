"""Federation (Identity API v3, OS-FEDERATION): who vouches for users, and how that is read."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY
from noded.identity.federation.commands import (
    CreateMapping,
    CreateProtocol,
    CreateProvider,
    CreateServiceProvider,
    DeleteMapping,
    DeleteProtocol,
    DeleteProvider,
    DeleteServiceProvider,
    ForgetExpiredMemberships,
    ShadowUser,
    UpdateMapping,
    UpdateProtocol,
    UpdateProvider,
    UpdateServiceProvider,
)
from noded.identity.federation.identity_providers.api import ROUTES as PROVIDER_ROUTES
from noded.identity.federation.mappings.api import ROUTES as MAPPING_ROUTES
from noded.identity.federation.reconcile import ExpiringMembershipsReconciler
from noded.identity.federation.service_providers.api import ROUTES as SERVICE_PROVIDER_ROUTES
from noded.identity.providers import IdentityProvider, Mapping, Protocol, ServiceProvider

SERVICE = Service(
    name="noded.identity.federation",
    endpoint=IDENTITY,
    records=(IdentityProvider, Protocol, Mapping, ServiceProvider),
    commands=(
        CreateProvider,
        UpdateProvider,
        DeleteProvider,
        CreateProtocol,
        UpdateProtocol,
        DeleteProtocol,
        CreateMapping,
        UpdateMapping,
        DeleteMapping,
        CreateServiceProvider,
        UpdateServiceProvider,
        DeleteServiceProvider,
        ShadowUser,
        ForgetExpiredMemberships,
    ),
    routes=(*PROVIDER_ROUTES, *MAPPING_ROUTES, *SERVICE_PROVIDER_ROUTES),
    reconcilers=(ExpiringMembershipsReconciler,),
)
