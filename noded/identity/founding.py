"""Which ids do a new cloud's first user and roles have? They follow from one drawn id, so all services here agree."""

import hashlib
from typing import Final

from noded.core.ids import RoleId, UserId
from noded.core.service import Founding

ADMIN: Final = "admin"
# Each implies the next; `service` stands apart, for programs that look at other users' tokens.
LADDER: Final = (ADMIN, "manager", "member", "reader")
SERVICE_ROLE: Final = "service"


def admin_user_id(founding: Founding) -> UserId:
    """The first user."""
    return UserId(_id(founding, "user/admin"))


def role_id(founding: Founding, name: str) -> RoleId:
    """A role that exists from the start."""
    return RoleId(_id(founding, f"role/{name}"))


def _id(founding: Founding, word: str) -> str:
    return hashlib.sha256(f"{founding.admin_project_id}/{word}".encode()).hexdigest()[:32]
