"""The tags of projects (Identity API v3, /projects/{project_id}/tags), one by one and all together."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY
from noded.identity.project_tags.api import ROUTES

SERVICE = Service(name="noded.identity.project_tags", endpoint=IDENTITY, routes=ROUTES)
