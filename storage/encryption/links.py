"""What is asked of this machine for encrypted volumes."""

from pathlib import Path
from typing import Protocol

from storage.volumes.model import Encryption


class LuksDisks(Protocol):
    """Writes LUKS. What unlocks a volume is its key in hexadecimal digits, here and for QEMU."""

    async def format(self, path: Path, encryption: Encryption, key: bytes) -> None:
        """Write a header to the start of the volume's file, with a new key inside. What was behind it is lost."""

    async def fill(self, source: Path, target: Path, key: bytes) -> None:
        """Write all bytes of the disk at one NBD socket, encrypted, to the formatted volume at another.

        Raises `Unavailable` if that fails.
        """
