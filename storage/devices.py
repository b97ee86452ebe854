"""May a directory that was given to the pool be used as a disk? Only an empty one, or one that is a disk already."""

from collections.abc import Collection
from typing import Final

# What a new file system, and an extent server that was stopped before it began, leave in an otherwise empty directory.
_HARMLESS: Final = frozenset({"lost+found", "lock"})
_NAMES_SHOWN: Final = 5


def why_not_empty(path: str, names: Collection[str]) -> str:
    """Why a directory with these names in it is not made a disk; empty if it can be. Nothing is ever wiped."""
    strangers = sorted(set(names) - _HARMLESS)
    if not strangers:
        return ""
    shown = ", ".join(strangers[:_NAMES_SHOWN]) + (" …" if len(strangers) > _NAMES_SHOWN else "")
    return f"{path} is not empty ({shown}) and is no disk of noded. Empty it by hand, or configure another directory."
