"""Where one node of a fault test runs: its disk, its cable, its process, and the lies that it is told."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from consensus.ports import RAFT_PORT
from tests.faults.log import builds
from tests.faults.log.disk import Disk
from tests.faults.log.network import Network
from tests.faults.log.shim import Lies
from tests.faults.log.wire import Job
from tests.lab.commands import call
from tests.lab.plan import PROJECT
from tests.twins.keys import Keys

MODULE = "tests.faults.log.node"
STOCK_MODULE = "tests.faults.log.stock"
STOP_S_MAX = 30.0

Book = dict[str, tuple[str, int]]


class Place:
    """A machine for one node at a time. `node_id` is who it is now: a new one after a replacement."""

    def __init__(self, number: int, directory: Path, network: Network, keys: Keys, library: Path) -> None:
        self.number = number
        self._network = network
        self._keys = keys
        self._directory = directory
        directory.mkdir()
        self.disk = Disk(directory / "disk.img", directory / "disk")
        self.lies = Lies(library, directory / "lies", self.disk.path)
        self.socket = directory / "s"
        self.address = (network.address(number), RAFT_PORT)
        self._process: subprocess.Popen[bytes] | None = None
        self.node_id = ""
        self.become_new()

    @property
    def state(self) -> Path:
        """What the node keeps."""
        return self.disk.path / self.node_id

    @property
    def log_file(self) -> Path:
        """What the node said, in all its lives."""
        return self._directory / "said.log"

    def become_new(self) -> None:
        """Forget who the node was, and what it had."""
        if self.node_id:
            shutil.rmtree(self.state)
        fresh = self.disk.path / "fresh"
        self.node_id = self._keys.admit(fresh / "tls")
        fresh.rename(self.state)
        call("sync", "--file-system", str(self.state))

    def start(self, book: Book, *, founds: bool, build: str) -> None:
        """Start the node's process. Does not wait until it serves."""
        assert not self.runs, f"node {self.number} runs already"
        job = Job(
            node_id=self.node_id,
            state=str(self.state),
            listen=self.address,
            socket=str(self.socket),
            founds=founds,
            peers=book,
            build=build,
        )
        self.socket.unlink(missing_ok=True)
        module = STOCK_MODULE if build == builds.STOCK else MODULE
        command = [*self._network.inside(self.number), sys.executable, "-m", module]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, msgspec.json.encode(job).decode()],
                cwd=PROJECT, env=os.environ | self.lies.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def runs(self) -> bool:
        """Whether the process lives, be it stopped."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone. One that ended by itself is fine."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Let no thread of the process run on; those in a system call finish that first."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_S_MAX
        with suppress(FileNotFoundError):
            while any(
                (task / "stat").read_text().rpartition(")")[2].split()[0] != "T"
                for task in Path(f"/proc/{self._process.pid}/task").iterdir()
            ):
                assert time.monotonic() < deadline, f"node {self.number} can't be stopped"
                time.sleep(0.002)

    def go_on(self) -> None:
        """After `stop`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def await_end(self, within_s: float) -> bool:
        """Whether the process ends by itself in that time."""
        assert self._process is not None
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        """The end of what the node said."""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-12:])
