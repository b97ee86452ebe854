"""The pages, one module a noun: each has its handlers, and `ROUTES` that lead to them. A new page adds a line below."""

from noded.core.route import Route
from noded.dashboard.pages import (
    application_credentials,
    cluster,
    history,
    images,
    live,
    networks,
    nodes,
    overview,
    projects,
    roles,
    servers,
    sign_in,
    storage,
    users,
    volumes,
)

PAGES: tuple[tuple[Route, ...], ...] = (
    overview.ROUTES,
    sign_in.ROUTES,
    servers.ROUTES,
    images.ROUTES,
    networks.ROUTES,
    volumes.ROUTES,
    storage.ROUTES,
    nodes.ROUTES,
    cluster.ROUTES,
    projects.ROUTES,
    users.ROUTES,
    roles.ROUTES,
    application_credentials.ROUTES,
    history.ROUTES,
    live.ROUTES,
)
ROUTES: tuple[Route, ...] = tuple(route for page in PAGES for route in page)
