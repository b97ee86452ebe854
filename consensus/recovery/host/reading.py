"""Is a backup file whole, and what is in it? Read from end to end before anything depends on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from consensus.codec import Codec
from consensus.machine import Machine
from consensus.recovery.archive import BackupHeader, BackupRefused, read_blocks, read_header
from consensus.recovery.sealing import Passphrase, PrivateKey, SealBroken, master_key
from noded.core.unreadable import UNREADABLE


def header_of(path: Path) -> BackupHeader:
    """What may be read without a secret. Raises BackupRefused."""
    with _opened(path) as file:
        return read_header(file)


def read_backup(path: Path, secret: Passphrase | PrivateKey, codec: Codec, level: int) -> tuple[BackupHeader, Machine]:
    """The header and the state of a backup, all of it checked. `level`: what this release understands.

    Raises BackupRefused.
    """
    machine = Machine(codec)
    with _opened(path) as file:
        header = read_header(file)
        if header.level > level:
            raise BackupRefused(f"It was made by release {header.release}, which knows more than this one: use that.")
        try:
            machine.restore(read_blocks(file, header, master_key(header.lock, secret)))
        except SealBroken as error:
            raise BackupRefused(f"It can't be opened: {error}.") from error
        except (StopIteration, *UNREADABLE) as error:
            raise BackupRefused(f"It holds what this release can't read: {error}.") from error
    if int(machine.picture.revision) != header.revision:
        raise BackupRefused("Its header and its content are of different revisions.")
    return header, machine


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupRefused(f"It can't be read: {error.strerror}.") from error
    with file:
        yield file
