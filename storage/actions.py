"""What an action on a volume is: one key of the body of POST /volumes/{volume_id}/action.

A service that offers actions has `ACTIONS` in its `__init__`; `storage/volume_actions` puts them behind the one route.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from noded.core.route import Allow, Done, Request, Response
from storage.volumes.model import Volume

Act = Callable[[Request, Volume, Any], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action: the form of its value, who may, from which microversion on, and how a success is told."""

    act: Act  # gets the volume, which the caller may see, and the decoded value
    form: Any  # what the value is decoded as; `None | dict[str, object]` where nothing is expected
    allow: Allow = Allow.MEMBER  # MEMBER or ADMIN
    done: Done = Done.ACCEPTED
    since: tuple[int, int] = (0, 0)


NOTHING: Any = dict[str, object] | None  # an action that takes no words; clients send null or an empty object
