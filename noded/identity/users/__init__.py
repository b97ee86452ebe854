"""Users (Identity API v3, /users): who may sign in, and with which password."""

from noded.core.command import Command
from noded.core.service import Founding, Service
from noded.identity.endpoint import IDENTITY
from noded.identity.founding import ADMIN, admin_user_id
from noded.identity.guesses.commands import LockUser
from noded.identity.model import DEFAULT_DOMAIN, User
from noded.identity.users.api import ROUTES
from noded.identity.users.authority import LOCAL_CALLS
from noded.identity.users.commands import CreateUser, DeleteUser, NoteActive, RehashPassword, SetPassword, UpdateUser


def _found(founding: Founding) -> list[Command]:
    return [
        CreateUser(
            user_id=admin_user_id(founding),
            domain_id=DEFAULT_DOMAIN,
            name=ADMIN,
            password_hash=founding.admin_password_hash,
            default_project_id=founding.admin_project_id,
        )
    ]


SERVICE = Service(
    name="noded.identity.users",
    endpoint=IDENTITY,
    records=(User,),
    commands=(CreateUser, UpdateUser, SetPassword, RehashPassword, NoteActive, LockUser, DeleteUser),
    routes=ROUTES,
    local_calls=LOCAL_CALLS,
    founding=_found,
)
