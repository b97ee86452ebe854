"""What is in an image file, seen while it passes by? A file that lies, or that could make QEMU open others, is refused.

The parsing is oslo.utils' `format_inspector`, which reads headers without trusting them; here is what we conclude.
"""

from typing import Final, NamedTuple

from oslo_utils.imageutils.format_inspector import (
    FileInspector,
    ImageFormatError,
    InspectWrapper,
    SafetyCheckFailed,
)

from images.catalog.model import IMAGE_BYTES_MAX
from images.formats import references
from noded.core.errors import Invalid
from noded.core.units import GIB

# Claims for which the bytes are taken as they are: no program of ours looks for a format in them.
_PLAIN: Final = frozenset({"raw", "ami", "ari", "aki"})
# What a plain disk may look like: a partition table is not a format.
_PLAIN_CONTENT: Final = frozenset({"raw", "gpt"})
# A bootable ISO image has a partition table too.
_ISO_CONTENT: Final = frozenset({"iso", "gpt"})
QEMU_FORMATS: Final = {"vhd": "vpc"}  # which formats QEMU calls otherwise
_REASONS: Final = {
    "backing_file": "it has a backing file, so it is only a part of a disk",
    "data_file": "its data is in another file",
    "unknown_features": "it uses features of its format that are not known to be safe",
    "descriptor": "its descriptor names other files or can't be read",
    "footer": "its footer contradicts its header",
}


class Verdict(NamedTuple):
    """What an accepted file is."""

    disk_format: str
    virtual_bytes: int  # the size of the disk inside it


class _Piece:
    """A file of which only the present piece can be read."""

    def __init__(self) -> None:
        self.data = b""

    def read(self, size: int) -> bytes:  # noqa: ARG002  # the inspector takes what there is
        return self.data


class Inspection:
    """Watches one file pass by. Feed it every byte in order, then ask for the verdict."""

    def __init__(self, claimed: str, container: str = "bare") -> None:
        self._claimed = claimed
        # An appliance is an archive with a disk inside, which nothing here opens: the archive itself is looked at.
        self._is_archive = container == "ova"
        self._head = bytearray()
        self._piece = _Piece()
        # An expected format makes a wrong file fail within its first piece. Plain files have no format to expect.
        expected = None if self._is_archive or claimed in _PLAIN or claimed == "iso" else claimed
        self._inspectors = InspectWrapper(self._piece, expected_format=expected)
        self._bytes = 0

    def eat(self, piece: bytes) -> None:
        """Look at the next piece. Raises `Invalid` as soon as the file can't be what it claims."""
        self._bytes += len(piece)
        if self._bytes > IMAGE_BYTES_MAX:
            raise Invalid(f"The image is larger than {IMAGE_BYTES_MAX // GIB} GiB, the limit.")
        if len(self._head) < references.HEAD_BYTES:
            self._head += piece[: references.HEAD_BYTES - len(self._head)]
        self._piece.data = piece
        try:
            self._inspectors.read(len(piece))
        except ImageFormatError:
            raise self._liar() from None
        except Exception as error:  # the inspectors parse what strangers wrote: whatever breaks them is refused
            raise Invalid(f"The image can't be read as {self._claimed}: {error}.") from error

    def verdict(self) -> Verdict:
        """What the whole file is. Raises `Invalid` if it is not what it claims, or not safe to use."""
        self._inspectors.close()
        try:
            found: dict[str, FileInspector] = {str(each): each for each in self._inspectors.formats or ()}
        except ImageFormatError:
            raise self._liar() from None
        if self._is_archive:
            if (why := references.fault("ova", bytes(self._head))) is not None:
                raise Invalid(f"The appliance (ova) is refused: {why}.")
            return Verdict(self._claimed, self._bytes)
        if self._claimed in _PLAIN:
            if not set(found) <= _PLAIN_CONTENT:
                raise self._liar(found)
            return Verdict(self._claimed, self._bytes)
        if self._claimed == "iso" and "iso" in found and set(found) <= _ISO_CONTENT:
            return Verdict("iso", self._bytes)
        if set(found) != {self._claimed}:
            raise self._liar(found)
        return self._checked(found[self._claimed])

    def _checked(self, inspector: FileInspector) -> Verdict:
        try:
            inspector.safety_check()
        except SafetyCheckFailed as failed:
            reasons = "; ".join(_REASONS.get(name, str(why)) for name, why in sorted(failed.failures.items()))
            raise self._unsafe(reasons) from None
        except ImageFormatError as error:
            raise Invalid(f"The image can't be read as {self._claimed}: {error}.") from None
        if (why := references.fault(self._claimed, bytes(self._head))) is not None:
            raise self._unsafe(why)
        virtual_bytes = inspector.virtual_size
        if not 0 < virtual_bytes <= IMAGE_BYTES_MAX:
            raise Invalid(
                f"The disk in the image has {virtual_bytes} bytes; it may have from 1 to {IMAGE_BYTES_MAX // GIB} GiB."
            )
        return Verdict(self._claimed, virtual_bytes)

    def _unsafe(self, reasons: str) -> Invalid:
        tool_format = QEMU_FORMATS.get(self._claimed, self._claimed)
        return Invalid(
            f"The {self._claimed} image is refused: {reasons}. "
            f"Convert it with `qemu-img convert -O {tool_format} OLD NEW` and upload the result."
        )

    def _liar(self, found: dict[str, FileInspector] | None = None) -> Invalid:
        what = f" It looks like {' and '.join(sorted(found))}." if found else ""
        return Invalid(f"The uploaded data is not a {self._claimed} image, though its disk_format says so.{what}")
