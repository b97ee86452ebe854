"""A cloud without machines, for clients outside: `python -m tests.twins.serve --dir DIRECTORY [--port P] [--stores]`.

Three nodes over one log in memory, every API of the daemon by real TLS on the loopback, cheap password hashes, and
nothing that runs on a host: enough for identity and for whatever only reads and writes records. With `--stores` it has
identity, block storage and images only, simulated disks, and reconcilers that work. In DIRECTORY it writes
`ca.crt`, and `url`, which appears when it serves. The administrator's password is `tests.twins.cloud.ADMIN_PASSWORD`.
"""

import argparse
from functools import partial
from pathlib import Path

import trio

from noded.core.cluster import Cluster
from noded.core.reconciler import Reconciler
from noded.gateway.server import serve
from noded.reconcile.loop import keep_reconciling
from noded.services import SERVICES
from tests.api.stores import found_working_stores
from tests.twins.cloud import ADMIN_PASSWORD, api_certificate, found_cloud


async def serve_cloud(directory: Path, port: int, *, stores: bool) -> None:
    """Serve until cancelled."""
    directory.mkdir(parents=True, exist_ok=True)
    context, authority = api_certificate(directory)
    reconcilers: list[tuple[Reconciler, Cluster]] = []
    if stores:
        cloud, reconcilers = await found_working_stores(directory)
    else:
        cloud = await found_cloud(SERVICES)
    async with trio.open_nursery() as nursery:
        for reconciler, cluster in reconcilers:
            nursery.start_soon(keep_reconciling, reconciler, cluster)
        ports = await nursery.start(partial(serve, cloud.gateways["node1"], context, port=port, host="127.0.0.1"))
        url = f"https://127.0.0.1:{ports[0]}"
        (directory / "url").write_text(url + "\n")
        print(f"{url}  password: {ADMIN_PASSWORD!r}  authority: {authority}", flush=True)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stores", action="store_true")
    arguments = parser.parse_args()
    trio.run(partial(serve_cloud, arguments.dir, arguments.port, stores=arguments.stores))


if __name__ == "__main__":
    main()
