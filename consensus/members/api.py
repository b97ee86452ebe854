"""Answers who the cluster's nodes are. Any node answers for all."""

from consensus.members.links import Electorate
from consensus.members.model import Node
from consensus.members.views import node_view
from noded.core.route import Allow, Request, Response, Route


async def list_nodes(request: Request) -> Response:
    """GET /noded/v1/nodes: every member, as this node sees it."""
    nodes = request.cluster.view().all(Node)
    up = request.cluster.reachable()
    voters = request.driver(Electorate).voters
    leader = request.cluster.leader_id
    return Response(body={"nodes": [node_view(node, up=up, voters=voters, leader=leader) for node in nodes]})


ROUTES = (Route(verb="GET", path="/nodes", handler=list_nodes, allow=Allow.ADMIN),)
