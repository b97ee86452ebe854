"""Where does the administrator's first password stand? On the founder's disk, for root alone."""

from pathlib import Path
from typing import Final

from consensus.host.files import write_durably
from noded.core.dice import new_password

PASSWORD_FILE: Final = "admin-password"  # noqa: S105  # a file's name


def admin_password(state_dir: Path) -> str:
    """The password; drawn if there is none yet."""
    path = state_dir / PASSWORD_FILE
    if not path.exists():
        write_durably(path, (new_password() + "\n").encode())
    return path.read_text().strip()
