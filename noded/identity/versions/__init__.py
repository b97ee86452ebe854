"""Keystone's version documents, one step above the API itself."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY_VERSIONS
from noded.identity.versions.api import ROUTES

SERVICE = Service(name="noded.identity.versions", endpoint=IDENTITY_VERSIONS, routes=ROUTES)
