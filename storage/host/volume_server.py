"""Who serves a volume to a guest? One process a volume, apart from the daemon's life.

    python -m storage.host.volume_server --volume ID --node ID --tls DIR --run DIR [--read-only | --repair]

It claims the volume, seals and reconciles its replicas, and then serves it as NBD on `<run>/volumes/<id>/nbd.sock` and,
when told to, as a file. `--read-only` serves an immutable volume without a claim; `--repair` serves nobody, and ends
when every replica that answers is in sync. It stops at once when somebody else has claimed the volume.
"""

import argparse
import gc
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from noded.core.errors import NotFound, Refused
from noded.core.ids import DiskId, NodeId, VolumeId
from storage.extents.authority import SUPERSEDED, Claim, Locate, VolumeMap
from storage.extents.authority import Request as AuthorityRequest
from storage.extents.direct import DirectReads
from storage.extents.layout import BLOCK_BYTES
from storage.extents.member import MemberState
from storage.extents.replication import Owner, Phase
from storage.extents.serving import Buffer
from storage.host.authority_client import AuthorityClient
from storage.host.control import ControlServer
from storage.host.direct_files import DirectFiles
from storage.host.event_log import note
from storage.host.lock import AlreadyRunning, ProcessLock
from storage.host.loop import Loop
from storage.host.nbd_server import NbdServer
from storage.host.open_files import allow_many_files
from storage.host.paths import control_socket, file_directory, nbd_socket, volume_lock
from storage.host.replica_links import ReplicaLinks
from storage.host.tls import NodeTls

TICK_SECONDS: Final = 0.25
CLAIM_AGAIN_SECONDS: Final = 0.3
REPAIR_PATIENCE_SECONDS: Final = 20.0
EXIT_REFUSED: Final = 3


class Front:
    """The volume as its fronts see it: any bytes, not only whole blocks."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.size_bytes = owner.size_bytes
        self.writable = owner.writes
        # What was asked for, for metrics: an addition or two a request.
        self.reads = self.read_bytes = self.writes = self.written_bytes = self.zeroed_bytes = 0

    def read(self, offset: int, length: int, done: Callable[[int, Buffer | None], None]) -> None:
        """Any range within the volume."""
        self.reads += 1
        self.read_bytes += length
        if not (offset | length) % BLOCK_BYTES:
            self._owner.read(offset, length, done)
            return
        start = offset - offset % BLOCK_BYTES
        stop = -(-(offset + length) // BLOCK_BYTES) * BLOCK_BYTES

        def cut(error: int, data: Buffer | None) -> None:
            done(error, None if data is None else data[offset - start : offset - start + length])

        self._owner.read(start, stop - start, cut)

    def update(self, offset: int, length: int, data: Buffer | None, done: Callable[[int], None]) -> None:
        """Write any bytes, or zeroes."""
        if data is None:
            self.zeroed_bytes += length
        else:
            self.writes += 1
            self.written_bytes += length
        self._owner.update(offset, length, data, done)


class VolumeServer:
    """One volume in this process. Implements `Surroundings` for its owner."""

    def __init__(self, loop: Loop, volume: VolumeMap, authority: AuthorityClient, asked: argparse.Namespace) -> None:
        self._loop = loop
        self._authority = authority
        self._asked = asked
        node_id = NodeId(asked.node)
        self._links = ReplicaLinks(loop, node_id, asked.run, NodeTls(asked.tls))
        self._owner = Owner(volume, node_id, self, writes=not asked.read_only)
        self._owner.direct = DirectReads(self._owner, DirectFiles)
        self._front = Front(self._owner)
        self._file: Any = None
        self._started = self.now()
        self.exit_status = 0

    def start(self) -> None:
        """Connect the replicas and open the fronts."""
        run, volume_id = self._asked.run, VolumeId(self._asked.volume)
        self._links.start(self._owner)
        if not self._asked.repair:
            NbdServer(self._loop, nbd_socket(run, volume_id), volume_id, self._front, run.stat().st_gid)
        commands = {
            "status": self._status,
            "look": self._look,
            "export": self._export,
            "unexport": self._unexport,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "scrub": self._scrub,
            "stop": self._stop,
        }
        ControlServer(self._loop, control_socket(run, volume_id), commands)
        self._tick()

    def close(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.unmount()
        if self._owner.direct is not None:
            self._owner.direct.close()
        self._links.close()
        nbd_socket(self._asked.run, VolumeId(self._asked.volume)).unlink(missing_ok=True)

    # --- Surroundings

    def now(self) -> float:
        return time.monotonic()

    def reach(self, disk_id: DiskId) -> None:
        self._links.reach(disk_id)

    def drop(self, disk_id: DiskId) -> None:
        self._links.drop(disk_id)

    def ask(self, request: AuthorityRequest) -> None:
        call = self._loop.call_from_thread
        self._authority.ask_later(
            request,
            lambda volume: call(partial(self._owner.told, volume)),
            lambda refusal: call(partial(self._owner.refused_by_authority, refusal)),
        )

    def stopped(self, reason: str) -> None:
        note("volume given up", reason=reason)
        self.exit_status = EXIT_REFUSED
        self._loop.stop()

    def note(self, message: str, **fields: object) -> None:
        note(message, volume=self._asked.volume, **fields)

    # --- commands

    def _status(self, _words: Mapping[str, str]) -> Mapping[str, Any]:
        owner = self._owner
        return {
            "phase": owner.phase.value,
            "epoch": owner.epoch,
            "size_bytes": owner.size_bytes,
            "in_sync": sorted(owner.in_sync.volume.in_sync),
            "replicas": {disk_id: member.state.value for disk_id, member in owner.members.items()},
            "latencies_ms": {
                disk_id: round(1000 * member.latency_s, 2)
                for disk_id, member in owner.members.items()
                if member.latency_s is not None
            },
            "requests_under_way": len(owner.inflight),
            "resyncs": owner.recovery.progress(),
            "joins": owner.joins.progress(),
            "blocks_copied": owner.recovery.blocks_copied,
            "damaged_blocks": owner.damaged_blocks,
            "io": {
                "reads": self._front.reads,
                "read_bytes": self._front.read_bytes,
                "writes": self._front.writes,
                "written_bytes": self._front.written_bytes,
                "zeroed_bytes": self._front.zeroed_bytes,
            },
            "exported": self._file is not None and self._file.mounted,
            "scrub": self._scrub_state(),
        }

    def _scrub(self, words: Mapping[str, str]) -> Mapping[str, Any]:
        self._owner.scrub.start(int(words.get("begun_ms", "0")), int(words.get("extent", "0")))
        return {"scrub": self._scrub_state()}

    def _scrub_state(self) -> Mapping[str, Any]:
        scrub = self._owner.scrub
        return {
            "begun_ms": scrub.begun_ms,
            "running": scrub.is_running,
            "done": scrub.is_done,
            "first": scrub.first,
            "extent": scrub.extent,
            "blocks": scrub.blocks,
            "rotten": +scrub.rotten,
            "different": +scrub.different,
            "gone": scrub.gone,
        }

    def _look(self, _words: Mapping[str, str]) -> Mapping[str, Any]:
        self._owner.in_sync.look_again()
        return {"looking": True}

    def _export(self, _words: Mapping[str, str]) -> Mapping[str, Any]:
        if self._file is None:
            # trio and FUSE cost memory that a guest's disk does not need.
            from storage.host.fuse import FileView  # noqa: PLC0415

            directory = file_directory(self._asked.run, VolumeId(self._asked.volume))
            self._file = FileView(self._loop, self._front, directory)
        self._file.mount()
        return {"exported": True}

    def _unexport(self, _words: Mapping[str, str]) -> Mapping[str, Any]:
        if self._file is not None:
            self._file.unmount()
        return {"exported": False}

    def _freeze(self, _words: Mapping[str, str]) -> Mapping[str, Any]:
        """To be asked again until it says that the volume stands still."""
        mark = self._owner.freezing.freeze()
        if mark is None:
            return {"phase": self._owner.phase.value, "frozen": False}
        return {"phase": self._owner.phase.value, "frozen": True, "epoch": mark.epoch, "changes": mark.changes}

    def _thaw(self, _words: Mapping[str, str]) -> Mapping[str, Any]:
        self._owner.freezing.thaw()
        return {"frozen": False}

    def _stop(self, _words: Mapping[str, str]) -> Mapping[str, Any]:
        self._loop.stop()
        return {"stopping": True}

    # --- time

    def _tick(self) -> None:
        self._owner.tick()
        if self._asked.repair:
            self._end_repair()
        self._loop.call_later(TICK_SECONDS, self._tick)

    def _end_repair(self) -> None:
        """Whole, or as whole as it gets while a node is away."""
        owner = self._owner
        in_sync = owner.in_sync.volume.in_sync
        behind = [member for member in owner.members.values() if member.disk_id not in in_sync]
        if owner.phase is Phase.OPEN and owner.in_sync.is_whole():
            note("volume is whole", volume=owner.volume_id)
            self._loop.stop()
        elif self.now() - self._started > REPAIR_PATIENCE_SECONDS and all(
            member.state is not MemberState.SYNCING for member in behind
        ):
            note("repair given up", volume=owner.volume_id, phase=owner.phase.value)
            self.exit_status = EXIT_REFUSED
            self._loop.stop()


def open_map(authority: AuthorityClient, asked: argparse.Namespace) -> VolumeMap:
    """The volume's map, claimed unless it is only read. Waits for a daemon that answers; raises other refusals."""
    claim_id = secrets.token_hex(16)
    request: AuthorityRequest = (
        Locate(VolumeId(asked.volume))
        if asked.read_only
        else Claim(VolumeId(asked.volume), NodeId(asked.node), claim_id)
    )
    while True:
        try:
            return authority.ask(request)
        except Refused as refusal:
            if isinstance(refusal, NotFound) or refusal.code == SUPERSEDED:
                raise
            note("no answer from the log yet", reason=refusal.message)
        time.sleep(CLAIM_AGAIN_SECONDS)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="volume_server", description="Serve one volume on this node.")
    parser.add_argument("--volume", required=True, metavar="ID")
    parser.add_argument("--node", required=True, metavar="ID", help="this node")
    parser.add_argument("--tls", type=Path, required=True, metavar="DIR", help="holds node.crt, node.key, ca.crt")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--read-only", action="store_true", help="the volume is immutable: no claim is needed")
    modes.add_argument("--repair", action="store_true", help="bring the replicas up to date, then end")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """Serve until SIGTERM, or until the volume is another's."""
    asked = arguments(words)
    lock = ProcessLock(volume_lock(asked.run, VolumeId(asked.volume)))
    try:
        lock.take()
    except AlreadyRunning as fault:
        note("volume is served already", reason=str(fault))
        return EXIT_REFUSED
    allow_many_files()
    loop = Loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: loop.call_from_thread(loop.stop))
    authority = AuthorityClient(asked.run, NodeId(asked.node), NodeTls(asked.tls))
    try:
        volume = open_map(authority, asked)
    except Refused as refusal:
        note("volume can't be served", volume=asked.volume, reason=refusal.message)
        return EXIT_REFUSED
    note("volume server started", volume=asked.volume, epoch=volume.epoch, in_sync=volume.in_sync, pid=os.getpid())
    server = VolumeServer(loop, volume, authority, asked)
    server.start()
    # What lives now lives on: the collector need not look at it again, nor often at the rest.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(0.0005)
    loop.run()
    server.close()
    note("volume server stopped", volume=asked.volume)
    return server.exit_status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
