"""The dashboard (Horizon's part): pages made on the server from the APIs that every client uses, live.

Every page is made from what the APIs answer to the signed-in user, so the dashboard can show and do exactly what the
user's own clients could, and is checked by the same policy.
"""

from noded.core.service import Service
from noded.dashboard.endpoint import DASHBOARD
from noded.dashboard.pages import ROUTES

SERVICE = Service(name="noded.dashboard", endpoint=DASHBOARD, routes=ROUTES)
