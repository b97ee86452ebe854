"""What nodes say of their end of the log when asked. Never stored, never in the log."""

import msgspec

from consensus.incarnation import Incarnation
from consensus.room import LogRoom
from noded.core.ids import NodeId


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """One node's own words."""

    applied: int
    incarnation: Incarnation | None
    room: LogRoom


class LogStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One node as the answering node heard of it."""

    node_id: NodeId
    name: str
    leader: bool
    report: LogReport | None  # None: it did not answer
