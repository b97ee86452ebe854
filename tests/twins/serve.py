"""A cloud without machines, for clients outside: `python -m tests.twins.serve --dir DIRECTORY [--port 9443]`.

Three nodes over one log in memory, every API of the daemon by real TLS on the loopback, cheap password hashes, and
nothing that runs on a host: enough for identity and for whatever only reads and writes records. In DIRECTORY it writes
`ca.crt`, and `url`, which appears when it serves. The administrator's password is `tests.twins.cloud.ADMIN_PASSWORD`.
"""

import argparse
from functools import partial
from pathlib import Path

import trio

from noded.gateway.server import serve
from noded.services import SERVICES
from tests.twins.cloud import ADMIN_PASSWORD, api_certificate, found_cloud


async def serve_cloud(directory: Path, port: int) -> None:
    """Serve until cancelled."""
    directory.mkdir(parents=True, exist_ok=True)
    context, authority = api_certificate(directory)
    cloud = await found_cloud(SERVICES)
    async with trio.open_nursery() as nursery:
        ports = await nursery.start(partial(serve, cloud.gateways["node1"], context, port=port, host="127.0.0.1"))
        url = f"https://127.0.0.1:{ports[0]}"
        (directory / "url").write_text(url + "\n")
        print(f"{url}  password: {ADMIN_PASSWORD!r}  authority: {authority}", flush=True)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    trio.run(serve_cloud, arguments.dir, arguments.port)


if __name__ == "__main__":
    main()
