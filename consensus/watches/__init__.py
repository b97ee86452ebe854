"""Watching: which records change, as they do, for programs that keep up with the cluster. `/noded/v1/watch`."""

from consensus.endpoint import NODED
from consensus.watches.api import ROUTES
from noded.core.service import Service

SERVICE = Service(name="consensus.watches", endpoint=NODED, routes=ROUTES)
