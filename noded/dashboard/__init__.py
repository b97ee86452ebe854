"""The dashboard (Horizon's part): pages made on the server from the APIs that every client uses, live."""

from noded.core.service import Service
from noded.dashboard.api import ROUTES
from noded.dashboard.endpoint import DASHBOARD

SERVICE = Service(name="noded.dashboard", endpoint=DASHBOARD, routes=ROUTES)
