"""Answers an administrator who asks whether the cloud is as its records say. Any node answers for all."""

from noded.core.route import Allow, Request, Response, Route
from noded.doctor.authority import examine
from noded.doctor.model import FirstSeen
from noded.inspection.links import Registry


async def show_examination(request: Request) -> Response:
    """GET /noded/v1/doctor: every node looks at its machine; what does not match, why, and how it is mended."""
    return Response(body=await examine(request.cluster, request.driver(Registry), request.driver(FirstSeen)))


ROUTES = (Route(verb="GET", path="/doctor", handler=show_examination, allow=Allow.ADMIN),)
