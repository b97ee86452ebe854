"""How fast is a volume with three replicas? `python -m tests.bench.volume` prints a table; needs root and qemu-img.

Three extent servers and one volume server on this machine, as three nodes would have them: one replica over the unix
socket, two over TLS. Every write is on stable storage of all three before it is acknowledged.
"""

import re
import tempfile
import time
from pathlib import Path

import trio

from noded.core.units import GIB
from storage.host.paths import nbd_socket
from tests.faults.storage_nodes import storage_nodes
from tests.faults.test_volumes_under_load import new_volume

SIZE_BYTES = GIB
# name, write?, block bytes, depth, requests
CASES = (
    ("write 1M, fresh", True, 1 << 20, 4, 500),
    ("read 1M", False, 1 << 20, 4, 1000),
    ("write 4k, depth 1", True, 4096, 1, 2000),
    ("write 4k, depth 16", True, 4096, 16, 20_000),
    ("write 4k, depth 32", True, 4096, 32, 20_000),
    ("read 4k, depth 1", False, 4096, 1, 10_000),
    ("read 4k, depth 16", False, 4096, 16, 40_000),
    ("write 64k, depth 8", True, 65_536, 8, 4000),
    ("write 1M, again", True, 1 << 20, 4, 500),
)


async def measure(socket: Path, *, write: bool, block_bytes: int, depth: int, requests: int) -> float:
    """Seconds for `requests` requests, one after another through the volume, `depth` of them at a time."""
    words = ["qemu-img", "bench", "-f", "raw", "-s", str(block_bytes), "-d", str(depth), "-c", str(requests)]
    words += ["-w"] if write else []
    start = time.monotonic()
    done = await trio.run_process([*words, f"nbd+unix:///?socket={socket}"], capture_stdout=True)
    found = re.search(r"completed in ([0-9.]+) seconds", done.stdout.decode())
    return float(found[1]) if found else time.monotonic() - start


def cpu_seconds(pids: list[int]) -> float:
    """What the processes have used so far, user and system."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / 100


def storage_processes(run: Path) -> list[int]:
    """The extent and volume servers of this bench."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes()
        except OSError:
            continue
        if b"storage.host." in words and str(run).encode() in words:
            found.append(int(process.parent.name))
    return found


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with storage_nodes(Path(directory)) as nodes:
            volume_id = new_volume(nodes, 1, size_bytes=SIZE_BYTES, extent_bytes=SIZE_BYTES // 4)
            await nodes.attachments(1).attach(volume_id)
            socket = nbd_socket(nodes.node(1).run, volume_id)
            pids = storage_processes(nodes.root)
            print("| case | per second | MB/s | µs CPU a request |\n|---|---|---|---|")
            for name, write, block_bytes, depth, requests in CASES:
                before = cpu_seconds(pids)
                seconds = await measure(socket, write=write, block_bytes=block_bytes, depth=depth, requests=requests)
                used = (cpu_seconds(pids) - before) / requests * 1e6
                rate = requests / seconds
                print(f"| {name} | {rate:,.0f} | {rate * block_bytes / 1e6:,.0f} | {used:,.0f} |")


if __name__ == "__main__":
    trio.run(main)
