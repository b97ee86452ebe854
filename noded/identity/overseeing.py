"""Who may look at what is everybody's? Administrators, and readers of the whole system (Keystone's "system reader")."""

from noded.core.route import Caller


def may_oversee(caller: Caller) -> bool:
    """Whether the caller may look at everything in identity."""
    return caller.is_admin or (caller.is_system and "reader" in caller.roles)
