"""On whose behalf is a change made? It travels with the log's entry, so that history can say who, whence and when."""

import msgspec

from noded.core.ids import NodeId, RequestId


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Who caused an entry of the log. Part of the entry's bytes: fields are only ever added at the end.

    `who` is `user:ID` for a caller of an API, `anyone` where no token is needed,
    `console:NODE` for root on a node, `node:ID` for a node's own doing.
    """

    who: str
    name: str  # the user's or node's name, as it was then
    project_id: str  # the scope of the caller's token; empty without one
    request_id: str  # finds the request in the logs; empty where no request was made
    address: str  # where the request came from; empty where no request was made
    at_ms: int  # when it was proposed, by the proposer's clock


def of_node(node_id: NodeId, at_ms: int) -> Origin:
    """The origin of what a node does by itself: reconcilers, reports, admissions."""
    return Origin(f"node:{node_id}", "", "", "", "", at_ms)


def of_console(node_id: NodeId, request_id: RequestId, at_ms: int) -> Origin:
    """The origin of what root asks of the daemon on a node's own command line."""
    return Origin(f"console:{node_id}", "root", "", request_id, "", at_ms)
