"""How is the disk taken out of an image file? qemu-img does it, within limits, from a file to an NBD socket."""

import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import quote

import structlog
import trio

from images.formats.inspection import QEMU_FORMATS
from noded.core.errors import Invalid, Unavailable
from noded.core.units import GIB

log = structlog.get_logger(__name__)

# What a file made to harm could make qemu-img take: tables as large as their header says, loops without an end.
MEMORY_BYTES_MAX: Final = 2 * GIB
CPU_S_MAX: Final = 3600
CONVERT_S_MAX: Final = 2 * 3600.0
WORDS_CHARS_MAX: Final = 500
_SECTOR_BYTES: Final = 512


async def convert(path: Path, size_bytes: int, disk_format: str, socket: Path) -> None:
    """Write the disk inside the file, its first `size_bytes`, to the export, which shows zeroes. Raises `Invalid`.

    `-n`: the target exists. `-W`: out of order, so that several requests are under way. The format is always given,
    never guessed: a guess would follow what the file says.
    """
    command = [
        "prlimit",
        f"--as={MEMORY_BYTES_MAX}",
        f"--cpu={CPU_S_MAX}",
        "qemu-img",
        "convert",
        "-n",
        "-W",
        "-m",
        "8",
        "--target-is-zero",
        "-O",
        "raw",
        "--image-opts",
        _source(path, size_bytes, QEMU_FORMATS.get(disk_format, disk_format)),
        f"nbd+unix:///?socket={quote(str(socket), safe='/')}",
    ]
    with trio.move_on_after(CONVERT_S_MAX) as patience:
        done = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
    if patience.cancelled_caught:
        raise Unavailable(f"The image was not converted within {CONVERT_S_MAX / 3600:.0f} hours.")
    if done.returncode:
        raise _refusal(done, disk_format)


def _source(path: Path, size_bytes: int, driver: str) -> str:
    """The file as QEMU's options name it. It ends where it ended when it came: some formats are read from their end."""
    filename = str(path).replace(",", ",,")
    size = -(-size_bytes // _SECTOR_BYTES) * _SECTOR_BYTES
    return f"driver={driver},file.driver=raw,file.size={size},file.file.driver=file,file.file.filename={filename}"


def _refusal(done: "subprocess.CompletedProcess[bytes]", disk_format: str) -> Invalid | Unavailable:
    words = done.stderr.decode(errors="replace").strip()[-WORDS_CHARS_MAX:]
    log.warning("image not converted", status=done.returncode, words=words)
    if done.returncode < 0:
        return Unavailable(f"The conversion of the image was ended by signal {-done.returncode}.")
    # Paths of the host are nobody's business but ours.
    reason = words.rsplit(": ", maxsplit=1)[-1] or "no reason was given"
    return Invalid(f"The image is broken inside: qemu-img can't read it as {disk_format} ({reason}).")
