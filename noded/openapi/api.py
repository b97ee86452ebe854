"""Answers /noded/v1/openapi.json: which requests there are, and what their bodies are made of."""

from functools import lru_cache

import msgspec
import trio

from noded.core.route import Allow, Request, Response, Route
from noded.openapi.views import description
from noded.policy.model import Policies
from noded.release import RELEASE


async def show_description(request: Request) -> Response:
    """GET /noded/v1/openapi.json: every route of every API of this node."""
    # Half a second of reading sources, once: not on the loop that answers everybody.
    content = await trio.to_thread.run_sync(_encoded, request.driver(Policies))
    return Response(content=content)


@lru_cache(maxsize=1)
def _encoded(policies: Policies) -> bytes:
    return msgspec.json.encode(description(policies.actions.values(), RELEASE))


ROUTES = (Route(verb="GET", path="/openapi.json", handler=show_description, allow=Allow.ANY_TOKEN),)
"""Whoever has a token may read it: it tells nothing of anyone."""
