"""How does a file arrive in parts? What came stays when its sender, this daemon or this node goes, and is carried on.

    part ──► slices of 256 MiB ──► the volume ──► the log: so much is kept          the last part: checked, converted,
                                                                                     finished as a whole file is

The digests of what came are kept in memory from one part to the next. Where that memory is another daemon's, or gone,
the volume is read once from its start.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import trio

from images.catalog.model import Image
from images.contents.commands import KeepUpload, ResumeUpload
from images.contents.links import ImageBytes
from images.contents.live import LiveUploads, Session
from images.contents.model import Upload
from images.contents.ranges import Part
from images.contents.reconcile.receiving import Attempt, Finish
from images.formats.inspection import Inspection
from noded.core.clock import now_ms
from noded.core.errors import Conflict, Invalid, TooLarge
from noded.core.ids import VolumeId
from noded.core.units import MIB
from storage.volumes.links import OpenVolume, VolumeFiles

SLICE_BYTES = 256 * MIB  # so much is sent again at most, after a node was lost
KEPT_BYTES = MIB  # what is kept ends at a multiple of it


async def receive_part(
    attempt: Attempt, image: Image, part: Part, pieces: AsyncIterator[bytes], finish: Finish, *, staging: bool
) -> int | None:
    """Receive one part. How much of the file is kept now; None after the last part: the upload is finished.

    A part that is not the last may be kept up to a multiple of `KEPT_BYTES` only. Raises `Conflict` for a part that is
    not the next one, and after a fault of the file itself leaves the image as empty as before.
    """
    live = attempt.driver(LiveUploads)
    if attempt.upload_id in live:
        raise Conflict(f"A part of image {image.id} is being received right now. Wait for its end, or its sender's.")
    with live.receiving(attempt.upload_id):
        file_id, kept_bytes = await _begun(attempt, image, part, staging=staging)
        session = live.take(attempt.upload_id) or _new_session(attempt, image)
        if session.taken.size_bytes != kept_bytes:
            session = _new_session(attempt, image)
        receiving = _Receiving(attempt, session, kept_bytes)
        stream = _Stream(pieces)
        try:
            async with attempt.driver(VolumeFiles).open(file_id, writable=True) as file, aclosing(stream):
                await receiving.run(file, part, stream)
                if part.is_last:
                    verdict = session.inspection.verdict()
                    await attempt.convert(file, session.taken.size_bytes, verdict, image.container_format)
            if part.is_last:
                await finish(attempt.upload_id, session.taken.received(), verdict)
                return None
        except (Invalid, TooLarge) as fault:
            if stream.has_failed or isinstance(fault, _Misfit):
                await receiving.leave()
            else:  # the file is at fault: no more of it is wanted
                await attempt.abort()
            raise
        except BaseException:
            await receiving.leave()
            raise
        await receiving.leave()
        return receiving.kept_bytes


class _Misfit(Invalid):
    """A body that is not what its Content-Range says. What is kept of the file is none the worse."""


async def _begun(attempt: Attempt, image: Image, part: Part, *, staging: bool) -> tuple[VolumeId, int]:
    """The volume of the file, and how much of it there is: it is this node's from now on."""
    upload = attempt.cluster.view().get(Upload, attempt.upload_id)
    if upload is None:
        if part.start:
            raise Conflict(f"Nothing of image {image.id} is kept; its upload begins at byte 0.")
        return await attempt.begin(image, part.total, staging=staging, resumable=True), 0
    if part.start != upload.kept_bytes:
        raise Conflict(f"The upload of image {image.id} goes on at byte {upload.kept_bytes}, not {part.start}.")
    if part.total is not None and part.total != (upload.total_bytes or part.total):
        raise Conflict(f"The file was said to have {upload.total_bytes} bytes, not {part.total}.")
    await attempt.cluster.propose(
        ResumeUpload(
            upload_id=upload.id, node_id=attempt.cluster.node_id, kept_bytes=upload.kept_bytes, now_ms=now_ms()
        )
    )
    return upload.file_id, upload.kept_bytes


def _new_session(attempt: Attempt, image: Image) -> Session:
    inspection = Inspection(image.disk_format or "", image.container_format or "bare")
    return Session(inspection, attempt.driver(ImageBytes).begin(inspection))


class _Receiving:
    """One part on its way."""

    def __init__(self, attempt: Attempt, session: Session, kept_bytes: int) -> None:
        self._attempt = attempt
        self._session = session
        self.kept_bytes = kept_bytes

    async def run(self, file: OpenVolume, part: Part, stream: "_Stream") -> None:
        """Take all of the part. Raises `Invalid` where it has other bytes than it said."""
        mover, taken = self._attempt.driver(ImageBytes), self._session.taken
        if taken.size_bytes < self.kept_bytes:
            await mover.catch_up(file.path, taken, self.kept_bytes)
        while taken.size_bytes < part.end:
            end = min(taken.size_bytes + SLICE_BYTES, part.end)
            is_last = part.is_last and end == part.end
            await mover.append(stream.next(end - taken.size_bytes), file.path, taken, last=is_last)
            if is_last or taken.size_bytes < end:
                break
            await self.keep(release=False)
        if await stream.has_more():
            raise _Misfit("The body has more bytes than its Content-Range says.")
        if part.is_last and taken.size_bytes < part.end:
            raise _Misfit(f"The body ended at byte {taken.size_bytes} of {part.end}.")

    async def leave(self) -> None:
        """Say what is kept, and remember what was seen, for whoever carries it on."""
        await self.keep(release=True)
        taken = self._session.taken
        if taken.is_usable and taken.size_bytes == self.kept_bytes:
            self._attempt.driver(LiveUploads).keep(self._attempt.upload_id, self._session)

    async def keep(self, *, release: bool) -> None:
        """Say in the log how much there is. What is not usable any more adds nothing."""
        taken = self._session.taken
        if taken.is_usable:
            self.kept_bytes = max(self.kept_bytes, taken.size_bytes // KEPT_BYTES * KEPT_BYTES)
        command = KeepUpload(
            upload_id=self._attempt.upload_id,
            node_id=self._attempt.cluster.node_id,
            kept_bytes=self.kept_bytes,
            release=release,
            now_ms=now_ms(),
        )
        if release:
            await self._attempt.propose_at_last(command)
        else:
            await self._attempt.cluster.propose(command)


class _Stream:
    """A body that is handed out slice by slice."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.has_failed = False  # the sender, or the way to it

    async def next(self, size_bytes: int) -> AsyncIterator[bytes]:
        """The next bytes, so many if there are."""
        while size_bytes and await self.has_more():
            piece, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
            size_bytes -= len(piece)
            yield bytes(piece)

    async def has_more(self) -> bool:
        """Whether anything follows; waits until that can be said."""
        while not self._rest:
            try:
                piece = await anext(self._pieces, None)
            except Exception:
                self.has_failed = True
                raise
            if piece is None:
                return False
            self._rest = memoryview(piece)
        return True

    async def aclose(self) -> None:
        """Nobody reads on."""
        if isinstance(self._pieces, AsyncGenerator):
            with trio.CancelScope(shield=True):
                await self._pieces.aclose()
