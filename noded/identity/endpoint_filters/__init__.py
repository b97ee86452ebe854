"""Endpoint filters (Identity API v3, OS-EP-FILTER): which endpoints a project finds in its catalogue."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY
from noded.identity.endpoint_filters.api import ROUTES
from noded.identity.endpoint_filters.commands import (
    CreateEndpointGroup,
    DeleteEndpointGroup,
    LinkEndpoint,
    UnlinkEndpoint,
    UpdateEndpointGroup,
)
from noded.identity.places import EndpointGroup, EndpointLink

SERVICE = Service(
    name="noded.identity.endpoint_filters",
    endpoint=IDENTITY,
    records=(EndpointGroup, EndpointLink),
    commands=(CreateEndpointGroup, UpdateEndpointGroup, DeleteEndpointGroup, LinkEndpoint, UnlinkEndpoint),
    routes=ROUTES,
)
